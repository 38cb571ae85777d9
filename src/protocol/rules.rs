//! The rules that recovery rests on, by name.
//!
//! They hold, all of them, always: no configuration reaches them. They have names so that a
//! simulation can leave one out and show what it is needed for.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Which rules hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Rules { $($(#[$doc])* pub $name: bool),* }

        impl Rules {
            /// As it must be.
            pub const ALL: Self = Self { $($name: true),* };
            /// The names, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// All rules but the one of this name; `None` where none has it.
            pub fn without(name: &str) -> Option<Self> {
                let mut rules = Self::ALL;
                match name {
                    $(stringify!($name) => rules.$name = false,)*
                    _ => return None,
                }
                Some(rules)
            }
        }
    };
}

rules! {
    /// A commit took if and only if owner and number of the stored cut are ours; the offset says
    /// nothing.
    outcome_by_number,
    /// What belongs to a partition that was lost is dropped and never sent again.
    lost_is_dropped,
    /// A restore that was begun under an earlier assignment is of no use to a later one.
    epochs_kept_apart,
    /// What is sent again is what was sent, and nothing newer beside it.
    contents_kept_apart,
    /// Contents are dropped only once they are committed.
    kept_until_committed,
    /// A transaction that failed ends with its producer: what is still on its way to the broker must
    /// not become part of the next one, and the stored cut is read before anything is sent again.
    failed_ends_producer,
    /// Offsets are sent with the membership as it is when they are sent.
    fresh_membership,
    /// What was assigned under a membership that is over is lost, be it that the client does not say
    /// so: the group may have given it to another and the broker fences members, not partitions.
    one_membership,
    /// Offsets are never sent without a membership: the broker would accept them unfenced.
    members_only,
    /// Time is told by the brokers' stamps, not by our own wall clock.
    time_by_stamps,
    /// A refusal goes by the stamp of a record that was handed over after the reading, never by a
    /// bound that was carried on.
    refusals_by_stamps,
    /// Where our own clock stands in, a step of it withdraws evidence and refusals.
    steps_withdraw,
    /// A frontier that is restored is not ahead of what time it can be.
    frontier_not_ahead,
    /// The frontier follows trusted time only once the position has reached the end.
    position_reaches_end,
    /// It stays behind trusted time by the margin.
    margin_is_kept,
    /// The end is that of a reader of uncommitted data.
    uncommitted_end,
    /// Control records are passed: the position goes beyond them.
    control_records_passed,
    /// The offsets of refused records are kept in the cut.
    refusals_are_durable,
    /// No snapshot that is newer than the cut is used.
    snapshot_not_beyond_cut,
    /// No snapshot is used that was made under other decisions.
    snapshot_decisions_agree,
    /// While package state is rebuilt ladders sleep, and nothing opens.
    ladders_sleep,
    /// Open exceptions are taken from the table once the records are applied, so that none of these
    /// closes one.
    open_after_records,
    /// The frontier is that of the cut.
    frontier_from_cut,
    /// After a restore nothing is looked at before the frontier enters a new second.
    no_second_look,
    /// What a first start has not published yet is derived again.
    backfill_again,
    /// No record is applied before all that was open at a first start is out.
    records_wait_for_backfill,
    /// A cut names the policies that it was reached under, not those of today.
    cut_names_its_policies,
    /// Each setting holds from its offset on.
    settings_by_offset,
    /// Transactions that are pending when the stored cut is read are waited for.
    pending_waited_for,
    /// The group's offset must belong to the cut.
    offset_agrees_with_cut,
    /// Another group's cut is none of ours.
    group_in_cut,
    /// Another topic's records are none of ours.
    topic_in_cut,
    /// A rebuild rejects the records that the first reading rejected.
    rejections_agree,
    /// The open table holds what was published.
    open_table_agrees,
    /// Count and sum of the open table in a cut are those of what is published with it.
    sums_of_the_cut,
    /// They reckon with the events that are published with it.
    sums_with_the_events,
    /// A cut in the midst of a look bears the clocks of before it.
    frontier_of_before,
    /// A cut in the midst of a record's look says how far it is out.
    cursor_in_cut,
    /// So does every cut until the record is applied, also one that publishes nothing.
    cursor_kept,
    /// What had ended up to the cursor ends silently once more.
    ends_by_cursor,
    /// Steps go by what the open table lacks, wherever the cursor stands.
    steps_by_table,
    /// Behind a cursor new settings hold from the record after the next.
    settings_behind_the_record,
    /// A record whose look has been begun is not judged for refusal again.
    amid_record_not_judged,
    /// The record behind a cursor has the log time that its look goes to.
    look_time_checked,
    /// A cut holds every event up to where it stands.
    events_with_their_cut,
    /// A cut holds no more events than it may.
    budget_bounds_cut,
    /// No snapshot is taken in the midst of a look.
    snapshot_outside_looks,
    /// A package that the records no longer tell of is given back from its open exception.
    given_back,
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}
