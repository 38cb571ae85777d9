//! All calls into librdkafka that the Rust bindings do not offer.
//!
//! - Events of a consumer with everything they say. The bindings' `poll` drops the offset of an
//!   end-of-partition event, and that offset is the proof that control records have been passed. It
//!   also hides rebalances in a callback, where a commit would have to happen behind a lock.
//! - A member that ends without closing, which would wait for answers to rebalances.
//! - The names of the client's properties.
//! - Offsets sent with a membership that has been looked at, in a time that has an end: the bindings
//!   hide what they send, and librdkafka may wait for ever.
//! - [`heap`]: how much of what is free the client's heap keeps.
//! - [`describe`]: topics and groups with the rights of the user who asks.

pub mod describe;
pub mod heap;

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use rdkafka::bindings as rdsys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

/// What a consumer reports.
#[derive(Debug)]
pub enum Event<'e> {
    /// A record of a partition.
    Record(RecordView<'e>),
    /// Everything before this offset of the partition has been reported: the log has nothing more.
    EndOfPartition {
        /// The partition.
        partition: i32,
        /// The next offset to read, control records passed.
        offset: i64,
    },
    /// The group assigns these partitions; answer with an (incremental) assign.
    Assigned(Vec<i32>),
    /// The group takes these partitions away; answer with an (incremental) unassign.
    Revoked(Vec<i32>),
    /// Something went wrong.
    Error {
        /// Which partition it concerns, if one.
        partition: Option<i32>,
        /// The kind of error.
        code: RDKafkaErrorCode,
        /// What the client says about it.
        text: String,
        /// Whether the client is of no more use.
        fatal: bool,
    },
}

/// A record, borrowed from the client for as long as the event is looked at.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'e> {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970 UTC; `None` where the broker keeps none.
    pub timestamp_ms: Option<i64>,
    /// Whether the broker set the timestamp when it appended the record.
    pub log_append_time: bool,
    /// The record's key.
    pub key: Option<&'e [u8]>,
    /// The record's value; empty for a tombstone.
    pub value: Option<&'e [u8]>,
    headers: Headers<'e>,
}

#[derive(Clone, Copy, Debug)]
struct Headers<'e> {
    native: *const rdsys::rd_kafka_headers_t,
    borrowed: PhantomData<&'e ()>,
}

impl<'e> RecordView<'e> {
    /// The record's headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'e str, Option<&'e [u8]>)> {
        let native = self.headers.native;
        (0..).map_while(move |index| header(native, index))
    }
}

fn header<'e>(
    headers: *const rdsys::rd_kafka_headers_t,
    index: usize,
) -> Option<(&'e str, Option<&'e [u8]>)> {
    if headers.is_null() {
        return None;
    }
    let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: the headers belong to a message that outlives 'e, and so do name and value.
    unsafe {
        let err = rdsys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
        if err != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let name = CStr::from_ptr(name).to_str().unwrap_or("");
        Some((name, bytes(value, size)))
    }
}

/// # Safety
/// Where `data` is not null, `size` bytes at it must live for 'e.
unsafe fn bytes<'e>(data: *const c_void, size: usize) -> Option<&'e [u8]> {
    // SAFETY: as the caller promises.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) })
}

/// The events of one consumer: records, ends of partitions, rebalances, errors.
pub struct EventQueue<'c> {
    queue: *mut rdsys::rd_kafka_queue_t,
    consumer: PhantomData<&'c ()>,
}

impl<'c> EventQueue<'c> {
    /// The queue of a consumer. Do not call the consumer's own `poll` as long as this is in use.
    pub fn of<C: ConsumerContext>(consumer: &'c BaseConsumer<C>) -> Self {
        // SAFETY: the native client lives as long as the consumer, which outlives this queue.
        let queue = unsafe { rdsys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        assert!(!queue.is_null(), "a consumer with a group has a queue");
        Self { queue, consumer: PhantomData }
    }

    /// Waits for one event, at most for `timeout`, and hands it over. False when none came.
    pub fn poll(&self, timeout: Duration, mut look: impl FnMut(Event<'_>)) -> bool {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is valid; a returned event is ours to destroy, which `Owned` does.
        let event = unsafe {
            let event = rdsys::rd_kafka_queue_poll(self.queue, millis);
            if event.is_null() {
                return false;
            }
            Owned(event)
        };
        event.tell(&mut look);
        true
    }
}

impl Drop for EventQueue<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference was taken in `of` and is given back once.
        unsafe { rdsys::rd_kafka_queue_destroy(self.queue) }
    }
}

struct Owned(*mut rdsys::rd_kafka_event_t);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the event is ours and destroyed once.
        unsafe { rdsys::rd_kafka_event_destroy(self.0) }
    }
}

impl Owned {
    fn tell(&self, look: &mut impl FnMut(Event<'_>)) {
        // SAFETY: the event is valid for the whole call.
        match unsafe { rdsys::rd_kafka_event_type(self.0) } {
            rdsys::RD_KAFKA_EVENT_FETCH => self.records(look),
            rdsys::RD_KAFKA_EVENT_ERROR => self.error(look),
            rdsys::RD_KAFKA_EVENT_REBALANCE => self.rebalance(look),
            _ => {}
        }
    }

    fn records(&self, look: &mut impl FnMut(Event<'_>)) {
        loop {
            // SAFETY: messages belong to the event and live until it is destroyed, after `look`.
            let message = unsafe {
                let message = rdsys::rd_kafka_event_message_next(self.0);
                match message.as_ref() {
                    Some(message) => message,
                    None => return,
                }
            };
            look(record(message));
        }
    }

    fn error(&self, look: &mut impl FnMut(Event<'_>)) {
        // SAFETY: the event is valid; the list element is ours to destroy; texts are copied.
        let (err, place, text, fatal) = unsafe {
            let err = rdsys::rd_kafka_event_error(self.0);
            let native = rdsys::rd_kafka_event_topic_partition(self.0);
            let place = native.as_ref().map(|place| (place.partition, place.offset));
            if !native.is_null() {
                rdsys::rd_kafka_topic_partition_destroy(native);
            }
            let text = text(rdsys::rd_kafka_event_error_string(self.0));
            (err, place, text, rdsys::rd_kafka_event_error_is_fatal(self.0) != 0)
        };
        match (err, place) {
            (
                rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF,
                Some((partition, offset)),
            ) => look(Event::EndOfPartition { partition, offset }),
            (rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, _) => {}
            _ => look(Event::Error {
                partition: place.map(|(partition, _)| partition),
                code: err.into(),
                text,
                fatal: fatal || err == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FATAL,
            }),
        }
    }

    fn rebalance(&self, look: &mut impl FnMut(Event<'_>)) {
        // SAFETY: the list belongs to the event and is only read here.
        let (err, partitions) = unsafe {
            let err = rdsys::rd_kafka_event_error(self.0);
            let list = rdsys::rd_kafka_event_topic_partition_list(self.0);
            let partitions = match list.as_ref() {
                Some(list) if list.cnt > 0 => {
                    let elements = std::slice::from_raw_parts(list.elems, list.cnt as usize);
                    elements.iter().map(|element| element.partition).collect()
                }
                _ => Vec::new(),
            };
            (err, partitions)
        };
        look(match err {
            rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                Event::Assigned(partitions)
            }
            _ => Event::Revoked(partitions),
        });
    }
}

fn record(message: &rdsys::rd_kafka_message_t) -> Event<'_> {
    if message.err != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        // SAFETY: the client gives a static text for every error code.
        let text = unsafe { text(rdsys::rd_kafka_err2str(message.err)) };
        let partition = Some(message.partition);
        return Event::Error { partition, code: message.err.into(), text, fatal: false };
    }
    let mut kind = rdsys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    let mut headers = std::ptr::null_mut();
    // SAFETY: key, value and headers live as long as the message.
    unsafe {
        let timestamp = rdsys::rd_kafka_message_timestamp(message, &mut kind);
        let err = rdsys::rd_kafka_message_headers(message, &mut headers);
        if err != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            headers = std::ptr::null_mut();
        }
        let append = rdsys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        Event::Record(RecordView {
            partition: message.partition,
            offset: message.offset,
            timestamp_ms: (timestamp >= 0).then_some(timestamp),
            log_append_time: kind == append,
            key: bytes(message.key, message.key_len),
            value: bytes(message.payload, message.len),
            headers: Headers { native: headers, borrowed: PhantomData },
        })
    }
}

/// # Safety
/// `native` is null or a C string that lives for the call.
unsafe fn text(native: *const std::ffi::c_char) -> String {
    if native.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(native) }.to_string_lossy().into_owned()
}

/// The member of its group that the consumer is at this moment, as the group names it.
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<String> {
    Membership::of(consumer).and_then(|membership| membership.member())
}

/// Ends a consumer without closing it. Closing tells the group nothing of a static member that is not
/// told without it, and it has rebalances answered: the bindings do so by calls that have no end where
/// the client ends first (rust-rdkafka 0.39, librdkafka 2.12: their destructor asks for the rebalance
/// protocol once more after the answer to another event has ended the client's part in the group).
/// What the bindings hold beside the client is little, and stays.
pub fn end_without_closing<C: ConsumerContext>(consumer: BaseConsumer<C>) {
    let client = consumer.client().native_ptr();
    std::mem::forget(consumer);
    let flags = rdsys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE;
    // SAFETY: the bindings would destroy the client when the consumer is dropped, which it is not any
    // more; so it is destroyed once, and what it calls back into is never freed.
    unsafe { rdsys::rd_kafka_destroy_flags(client, flags) }
}

/// The names of all properties that the client has.
pub fn properties() -> Vec<String> {
    // SAFETY: the configuration is ours and destroyed once; the list has pairs of name and value, which
    // are copied before it is freed.
    unsafe {
        let (config, mut length) = (rdsys::rd_kafka_conf_new(), 0);
        let list = rdsys::rd_kafka_conf_dump(config, &mut length);
        let names = (0..length).step_by(2).map(|at| text(*list.add(at))).collect();
        rdsys::rd_kafka_conf_dump_free(list, length);
        rdsys::rd_kafka_conf_destroy(config);
        names
    }
}

/// Group metadata as offsets are sent with it.
struct Membership(*mut rdsys::rd_kafka_consumer_group_metadata_t);

impl Membership {
    fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the native client lives as long as the consumer; the object is ours to destroy.
        let metadata =
            unsafe { rdsys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        (!metadata.is_null()).then_some(Self(metadata))
    }

    /// Its member. Offsets sent with a generation below zero or without a member id would be accepted
    /// unfenced.
    fn member(&self) -> Option<String> {
        // SAFETY: the metadata object is ours; its member id lives until it is destroyed.
        unsafe {
            let generation = rdsys::rd_kafka_consumer_group_metadata_generation_id(self.0);
            let member = text(rdsys::rd_kafka_consumer_group_metadata_member_id(self.0));
            (generation >= 0 && !member.is_empty()).then_some(member)
        }
    }
}

// SAFETY: the metadata object is ours alone and bound to no thread.
unsafe impl Send for Membership {}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: the object is ours and destroyed once.
        unsafe { rdsys::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

/// Offsets that were not accepted as part of a transaction.
#[derive(Clone, Debug)]
pub struct OffsetsRefused {
    /// The kind of error.
    pub code: RDKafkaErrorCode,
    /// Whether the producer is of no more use or the transaction cannot be aborted.
    pub indefinite: bool,
}

/// How much longer than it was told a call into librdkafka may take.
const GRACE: Duration = Duration::from_secs(2);

/// Sends offsets with the open transaction, with the consumer's membership of this moment: what is
/// looked at is what is sent. Nothing is sent as another member than `as_member`; `None`: whoever.
///
/// librdkafka does not keep to the time that it is given (its issues 5456 and 5511): where the
/// group's coordinator has left the metadata of the cluster, as one does that was frozen, it waits
/// until any connection comes or goes. So the call has a thread of its own, and if that does not come
/// back, the producer is of no more use; it ends whenever the call does.
pub fn send_offsets<P: ProducerContext + Send + Sync + 'static, C: ConsumerContext>(
    producer: &Arc<BaseProducer<P>>,
    offsets: TopicPartitionList,
    consumer: &BaseConsumer<C>,
    as_member: Option<&str>,
    timeout: Duration,
) -> Result<(), OffsetsRefused> {
    let refused = |code, indefinite| Err(OffsetsRefused { code, indefinite });
    let is_it = |membership: &Membership| {
        as_member.is_none_or(|name| membership.member().as_deref() == Some(name))
    };
    let membership = Membership::of(consumer).filter(is_it);
    let Some(membership) = membership else {
        return refused(RDKafkaErrorCode::UnknownMemberId, false);
    };
    let (done, outcome) = bounded(1);
    let producer = producer.clone();
    let call = move || done.send(send_offsets_of(&membership, &producer, &offsets, timeout));
    if std::thread::Builder::new().name("offsets".to_owned()).spawn(call).is_err() {
        return refused(RDKafkaErrorCode::CriticalSystemResource, false);
    }
    let outcome = outcome.recv_timeout(timeout + GRACE);
    outcome.unwrap_or_else(|_| refused(RDKafkaErrorCode::OperationTimedOut, true))
}

fn send_offsets_of<P: ProducerContext>(
    membership: &Membership,
    producer: &BaseProducer<P>,
    offsets: &TopicPartitionList,
    timeout: Duration,
) -> Result<(), OffsetsRefused> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: producer, list and metadata are valid for the call; the error is ours to destroy.
    unsafe {
        let error = rdsys::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            offsets.ptr(),
            membership.0,
            millis,
        );
        if error.is_null() {
            return Ok(());
        }
        let code = rdsys::rd_kafka_error_code(error).into();
        let indefinite = rdsys::rd_kafka_error_is_fatal(error) != 0
            || rdsys::rd_kafka_error_txn_requires_abort(error) == 0;
        rdsys::rd_kafka_error_destroy(error);
        Err(OffsetsRefused { code, indefinite })
    }
}

/// What the brokers inside a client, which tests talk to, can do beside what the library wraps.
#[cfg(test)]
pub mod mock {
    use rdkafka::bindings as rdsys;
    use rdkafka::client::{Client, ClientContext};

    /// A broker leaves the cluster of this client for good.
    pub fn take_away<C: ClientContext>(cluster_of: &Client<C>, broker: i32) {
        // SAFETY: the handle is valid as long as the client; it gives its cluster or null.
        let left = unsafe {
            let cluster = rdsys::rd_kafka_handle_mock_cluster(cluster_of.native_ptr());
            assert!(!cluster.is_null(), "the client has no brokers of its own");
            rdsys::rd_kafka_mock_broker_decommission(cluster, broker)
        };
        assert_eq!(left, rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }
}
