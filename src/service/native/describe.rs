//! Descriptions of topics and consumer groups with what the asking user may do to them.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::bindings as rdsys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Owned, text};
use crate::service::rights::Operation;

/// A topic as the broker describes it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The broker's identity of it, which no other topic of this name has had; `None`: it does not tell.
    pub id: Option<String>,
    /// Its partitions in their order.
    pub partitions: Vec<Partition>,
    /// What the user may do to it, of what this service ever does; `None`: the broker does not tell.
    pub allowed: Option<Vec<Operation>>,
}

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Whether it has a leader.
    pub led: bool,
    /// Number of its replicas.
    pub replicas: usize,
    /// Number of those that are in sync.
    pub in_sync: usize,
}

/// A consumer group as its coordinator describes it.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its state, as Kafka names it.
    pub state: String,
    /// Its members.
    pub members: Vec<Member>,
    /// What the user may do to it, of what this service ever does; `None`: the broker does not tell.
    pub allowed: Option<Vec<Operation>>,
}

impl Group {
    /// Which of the first so many partitions of a topic are given to no member, while the group is at
    /// rest.
    pub fn given_to_nobody(&self, topic: &str, partitions: i32) -> Vec<i32> {
        let given = |partition: i32| {
            let given = self.members.iter().flat_map(|member| &member.partitions);
            given.into_iter().any(|(name, number)| name == topic && *number == partition)
        };
        match self.state.as_str() {
            "Stable" => (0..partitions).filter(|partition| !given(*partition)).collect(),
            _ => Vec::new(),
        }
    }
}

/// A member of a consumer group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its `client.id`; of a static member that has come back, the one of its first life.
    pub client: String,
    /// Where it is, as the broker sees it; of a static member that has come back, where it was first.
    pub host: String,
    /// Its `group.instance.id`, if it is a static one.
    pub instance: Option<String>,
    /// Topics and partitions that it is given.
    pub partitions: Vec<(String, i32)>,
}

/// Asks for descriptions of topics; each in the order asked for, or why there is none.
pub fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> KafkaResult<Vec<(String, Result<Topic, RDKafkaErrorCode>)>> {
    let texts = c_texts(names)?;
    let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
    let request = Request::new(
        client,
        rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        timeout,
    )?;
    // SAFETY: names, options and queue are valid for the call, which copies them; the collection is
    // ours and destroyed once.
    unsafe {
        let collection =
            rdsys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rdsys::rd_kafka_DescribeTopics(
            client.native_ptr(),
            collection,
            request.options,
            request.queue,
        );
        rdsys::rd_kafka_TopicCollection_destroy(collection);
    }
    let event = request.answer(rdsys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT)?;
    // SAFETY: the event is of the kind that was checked; all that is read lives as long as it.
    unsafe {
        let result = rdsys::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        let found = rdsys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        Ok(list(found, count).iter().map(|found| topic(*found)).collect())
    }
}

/// # Safety
/// `native` is a description that lives for the call.
unsafe fn topic(
    native: *const rdsys::rd_kafka_TopicDescription_t,
) -> (String, Result<Topic, RDKafkaErrorCode>) {
    // SAFETY: as the caller promises; everything below belongs to the description.
    unsafe {
        let name = text(rdsys::rd_kafka_TopicDescription_name(native));
        if let Some(code) = failure(rdsys::rd_kafka_TopicDescription_error(native)) {
            return (name, Err(code));
        }
        let (mut count, mut operations) = (0, 0);
        let partitions = rdsys::rd_kafka_TopicDescription_partitions(native, &mut count);
        let partitions = list(partitions, count).iter().map(|one| partition(*one)).collect();
        let allowed =
            rdsys::rd_kafka_TopicDescription_authorized_operations(native, &mut operations);
        let allowed = known(list(allowed, operations));
        let id = identity(rdsys::rd_kafka_TopicDescription_topic_id(native));
        (name.clone(), Ok(Topic { name, id, partitions, allowed }))
    }
}

/// # Safety
/// `native` is null, or an identity that lives for the call.
unsafe fn identity(native: *const rdsys::rd_kafka_Uuid_t) -> Option<String> {
    if native.is_null() {
        return None;
    }
    // SAFETY: as the caller promises; the text belongs to the identity.
    let id = unsafe { text(rdsys::rd_kafka_Uuid_base64str(native)) };
    // All zero: a broker that gives none.
    (!id.is_empty() && id.bytes().any(|byte| byte != b'A')).then_some(id)
}

/// # Safety
/// `native` is a description that lives for the call.
unsafe fn partition(native: *const rdsys::rd_kafka_TopicPartitionInfo_t) -> Partition {
    let (mut replicas, mut in_sync) = (0, 0);
    // SAFETY: as the caller promises; only the lengths of the lists are looked at.
    unsafe {
        rdsys::rd_kafka_TopicPartitionInfo_replicas(native, &mut replicas);
        rdsys::rd_kafka_TopicPartitionInfo_isr(native, &mut in_sync);
        let leader = rdsys::rd_kafka_TopicPartitionInfo_leader(native);
        let led = !leader.is_null() && rdsys::rd_kafka_Node_id(leader) >= 0;
        Partition { led, replicas, in_sync }
    }
}

/// Asks for the description of a consumer group.
pub fn group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> KafkaResult<Group> {
    let texts = c_texts(&[name])?;
    let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
    let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let request = Request::new(client, operation, timeout)?;
    // SAFETY: names, options and queue are valid for the call, which copies them.
    unsafe {
        rdsys::rd_kafka_DescribeConsumerGroups(
            client.native_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            request.options,
            request.queue,
        );
    }
    let event = request.answer(rdsys::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT)?;
    // SAFETY: the event is of the kind that was checked; all that is read lives as long as it.
    unsafe {
        let result = rdsys::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        let mut count = 0;
        let found = rdsys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        let Some(native) = list(found, count).first().copied() else {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::GroupIdNotFound));
        };
        if let Some(code) = failure(rdsys::rd_kafka_ConsumerGroupDescription_error(native)) {
            return Err(KafkaError::AdminOp(code));
        }
        let mut operations = 0;
        let allowed =
            rdsys::rd_kafka_ConsumerGroupDescription_authorized_operations(native, &mut operations);
        let members = rdsys::rd_kafka_ConsumerGroupDescription_member_count(native);
        let state = rdsys::rd_kafka_ConsumerGroupDescription_state(native);
        Ok(Group {
            state: text(rdsys::rd_kafka_consumer_group_state_name(state)),
            members: (0..members)
                .map(|at| member(rdsys::rd_kafka_ConsumerGroupDescription_member(native, at)))
                .collect(),
            allowed: known(list(allowed, operations)),
        })
    }
}

/// # Safety
/// `native` is a description that lives for the call.
unsafe fn member(native: *const rdsys::rd_kafka_MemberDescription_t) -> Member {
    // SAFETY: as the caller promises; texts are copied.
    unsafe {
        let instance = text(rdsys::rd_kafka_MemberDescription_group_instance_id(native));
        Member {
            client: text(rdsys::rd_kafka_MemberDescription_client_id(native)),
            host: text(rdsys::rd_kafka_MemberDescription_host(native)),
            instance: (!instance.is_empty()).then_some(instance),
            partitions: given(rdsys::rd_kafka_MemberDescription_assignment(native)),
        }
    }
}

/// # Safety
/// `native` is null, or an assignment that lives for the call.
unsafe fn given(native: *const rdsys::rd_kafka_MemberAssignment_t) -> Vec<(String, i32)> {
    if native.is_null() {
        return Vec::new();
    }
    // SAFETY: as the caller promises; the list and its texts belong to the assignment.
    unsafe {
        let found = rdsys::rd_kafka_MemberAssignment_partitions(native);
        if found.is_null() {
            return Vec::new();
        }
        let count = usize::try_from((*found).cnt).unwrap_or_default();
        let elements = list((*found).elems.cast_const(), count);
        elements.iter().map(|one| (text(one.topic), one.partition)).collect()
    }
}

fn c_texts(names: &[&str]) -> KafkaResult<Vec<CString>> {
    names.iter().map(|name| CString::new(*name).map_err(KafkaError::Nul)).collect()
}

/// # Safety
/// Where `first` is not null, `count` elements at it must live for 'l.
unsafe fn list<'l, T>(first: *const T, count: usize) -> &'l [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: as the caller promises.
        false => unsafe { std::slice::from_raw_parts(first, count) },
    }
}

/// # Safety
/// `error` is null or lives for the call.
unsafe fn failure(error: *const rdsys::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    if error.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let code = unsafe { rdsys::rd_kafka_error_code(error) };
    (code != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// Whoever may describe a resource has at least that operation, so none at all is no answer.
fn known(operations: &[rdsys::rd_kafka_AclOperation_t]) -> Option<Vec<Operation>> {
    use rdsys::rd_kafka_AclOperation_t as Native;
    let known = |operation: &Native| match operation {
        Native::RD_KAFKA_ACL_OPERATION_READ => Some(Operation::Read),
        Native::RD_KAFKA_ACL_OPERATION_WRITE => Some(Operation::Write),
        Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Operation::DescribeConfigs),
        _ => None,
    };
    (!operations.is_empty()).then(|| operations.iter().filter_map(known).collect())
}

/// Options of one question, and the queue that the answer comes by.
struct Request {
    options: *mut rdsys::rd_kafka_AdminOptions_t,
    queue: *mut rdsys::rd_kafka_queue_t,
    timeout: Duration,
}

impl Request {
    fn new<C: ClientContext>(
        client: &Client<C>,
        operation: rdsys::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> KafkaResult<Self> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut why = [0; 256];
        // SAFETY: the client outlives the request; options and queue are ours until `drop`.
        unsafe {
            let native = client.native_ptr();
            let request = Self {
                options: rdsys::rd_kafka_AdminOptions_new(native, operation),
                queue: rdsys::rd_kafka_queue_new(native),
                timeout,
            };
            rdsys::rd_kafka_AdminOptions_set_request_timeout(
                request.options,
                millis,
                why.as_mut_ptr(),
                why.len(),
            );
            let error =
                rdsys::rd_kafka_AdminOptions_set_include_authorized_operations(request.options, 1);
            if !error.is_null() {
                let why = CStr::from_ptr(rdsys::rd_kafka_error_string(error));
                let why = why.to_string_lossy().into_owned();
                rdsys::rd_kafka_error_destroy(error);
                return Err(KafkaError::AdminOpCreation(why));
            }
            Ok(request)
        }
    }

    /// Waits for the answer, a little longer than the client does.
    fn answer(&self, kind: i32) -> KafkaResult<Owned> {
        let patience = self.timeout + Duration::from_secs(2);
        let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is valid; the event is ours to destroy, which `Owned` does.
        let (event, error, got) = unsafe {
            let event = rdsys::rd_kafka_queue_poll(self.queue, millis);
            if event.is_null() {
                return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
            }
            let event = Owned(event);
            let error = rdsys::rd_kafka_event_error(event.0);
            let got = rdsys::rd_kafka_event_type(event.0);
            (event, error, got)
        };
        if error != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(error.into()));
        }
        match got == kind {
            true => Ok(event),
            false => Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage)),
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: both are ours and destroyed once; an answer that comes later is dropped with it.
        unsafe {
            rdsys::rd_kafka_AdminOptions_destroy(self.options);
            rdsys::rd_kafka_queue_destroy(self.queue);
        }
    }
}
