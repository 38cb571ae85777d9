//! One carrier event about one package, in the canonical vocabulary.

use super::key::PackageKey;
use super::time::{EffectiveTime, EventTime, LogTime};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// All values, in the order of the vocabulary.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in every schema, file and metric.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value of exactly this name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }

            /// The value of exactly this name, or what there is instead.
            #[allow(dead_code, reason = "people do not name the values of every vocabulary")]
            pub fn read(text: &str) -> Result<Self, String> {
                let known = || [$($text),*].join(", ");
                Self::parse(text).ok_or_else(|| format!("must be one of {}", known()))
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What a scan says of its package. The order counts: of two moves of one second the later is kept.
    #[allow(missing_docs)]
    Milestone {
        LabelCreated = "label_created",
        Tendered = "tendered",
        PickedUp = "picked_up",
        Arrived = "arrived",
        Departed = "departed",
        InTransit = "in_transit",
        HandedOver = "handed_over",
        CustomsHold = "customs_hold",
        CustomsCleared = "customs_cleared",
        OutForDelivery = "out_for_delivery",
        DeliveryAttempted = "delivery_attempted",
        AvailableForPickup = "available_for_pickup",
        Returning = "returning",
        OnHold = "on_hold",
        Exception = "exception",
        Lost = "lost",
        Delivered = "delivered",
        Returned = "returned",
        Cancelled = "cancelled",
        Info = "info",
    }
}

vocabulary! {
    /// How a scan came about.
    Evidence {
        /// A person or machine had the piece in hand.
        Physical = "physical",
        /// A manifest, pre-advice or a message computed without a scan of the piece.
        System = "system",
        /// Announced movement, an estimate; never silences an alarm.
        Predicted = "predicted",
    }
}

/// What a milestone does to a package, before and after evidence is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Starts the watch for the first scan.
    Registers,
    /// Movement: ends a silence and starts the next.
    Moves,
    /// Says where the package rests, without movement.
    Holds,
    /// The journey is over.
    Settles,
    /// Nothing but attributes.
    Informs,
}

/// The longest name of a milestone or of evidence has 20 bytes.
const LONGEST_NAME: usize = 32;

/// The value that a text names in its normal form: ASCII case does not count, `-` and space are `_`.
fn named<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    if let Some(value) = parse(text) {
        return Some(value);
    }
    let mut normal = [0; LONGEST_NAME];
    let normal = normal.get_mut(..text.len())?;
    for (to, from) in normal.iter_mut().zip(text.bytes()) {
        *to = if matches!(from, b'-' | b' ') { b'_' } else { from.to_ascii_lowercase() };
    }
    parse(std::str::from_utf8(normal).ok()?)
}

impl Milestone {
    /// The milestone that a text names, in any of the forms that count as equal.
    pub fn named(text: &str) -> Option<Self> {
        named(text, Self::parse)
    }

    /// The milestone of any text: what is none of the vocabulary only informs.
    pub fn from_text(text: &str) -> Self {
        Self::named(text).unwrap_or(Self::Info)
    }

    /// The effect by the vocabulary alone.
    pub const fn nominal_effect(self) -> Effect {
        match self {
            Self::LabelCreated | Self::Tendered => Effect::Registers,
            Self::PickedUp
            | Self::Arrived
            | Self::Departed
            | Self::InTransit
            | Self::HandedOver
            | Self::CustomsHold
            | Self::CustomsCleared
            | Self::OutForDelivery
            | Self::DeliveryAttempted
            | Self::AvailableForPickup
            | Self::Returning => Effect::Moves,
            Self::OnHold | Self::Exception | Self::Lost => Effect::Holds,
            Self::Delivered | Self::Returned | Self::Cancelled => Effect::Settles,
            Self::Info => Effect::Informs,
        }
    }

    /// The effect under this evidence: predictions only inform, a system message moves nothing.
    #[inline]
    pub const fn effect(self, evidence: Evidence) -> Effect {
        EFFECTS[evidence as usize][self as usize]
    }

    const fn effect_by_rule(self, evidence: Evidence) -> Effect {
        match (evidence, self.nominal_effect()) {
            (Evidence::Predicted, _) | (Evidence::System, Effect::Moves) => Effect::Informs,
            (_, effect) => effect,
        }
    }
}

/// By evidence and milestone: a jump that hangs on every scan's milestone is guessed wrong too often.
const EFFECTS: [[Effect; Milestone::ALL.len()]; Evidence::ALL.len()] = {
    let mut effects = [[Effect::Informs; Milestone::ALL.len()]; Evidence::ALL.len()];
    let mut evidence = 0;
    while evidence < Evidence::ALL.len() {
        let mut milestone = 0;
        while milestone < Milestone::ALL.len() {
            let effect = Milestone::ALL[milestone].effect_by_rule(Evidence::ALL[evidence]);
            effects[evidence][milestone] = effect;
            milestone += 1;
        }
        evidence += 1;
    }
    effects
};

impl Evidence {
    /// The evidence that a text names, in any of the forms that count as equal.
    pub fn named(text: &str) -> Option<Self> {
        named(text, Self::parse)
    }

    /// The evidence of any text: what is none of the vocabulary counts as predicted.
    pub fn from_text(text: &str) -> Self {
        Self::named(text).unwrap_or(Self::Predicted)
    }
}

/// What a scan tells beside its milestone. Empty text counts as absent; [`present`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attributes<T> {
    pub service: Option<T>,
    pub direction: Option<T>,
    pub destination_country: Option<T>,
    pub shipper: Option<T>,
    pub value_tier: Option<T>,
    pub facility: Option<T>,
    pub country: Option<T>,
}

/// Text that says something: `None` for the empty text.
pub fn present(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// One carrier event about one package, decoded, checked and in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Carrier and tracking number in normal form.
    pub key: PackageKey,
    /// What happened.
    pub milestone: Milestone,
    /// How it is known.
    pub evidence: Evidence,
    /// When the carrier says it happened; within the years 2000 to 2099.
    pub event_time: Option<EventTime>,
    /// When the feed received it; within the years 2000 to 2099. The event time where the record's
    /// envelope does not say.
    pub log_time: LogTime,
    /// The record's offset in its partition; in a replay without offsets the record's number.
    pub offset: i64,
    /// Texts borrowed from the payload.
    pub attributes: Attributes<&'a str>,
}

impl Scan<'_> {
    /// The time that silence is measured with.
    pub fn effective_time(&self) -> EffectiveTime {
        EffectiveTime::of(self.event_time, self.log_time)
    }

    /// The effect of milestone and evidence together.
    pub fn effect(&self) -> Effect {
        self.milestone.effect(self.evidence)
    }
}

/// One record of a partition's log as the detector sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A scan to apply.
    Scan(Scan<'a>),
    /// A rejected record. Its log time, where it has one, moves the clocks like any other.
    Rejected {
        /// The record's own log time, if readable and in range.
        log_time: Option<LogTime>,
    },
}

impl Record<'_> {
    /// Its log time, where it has one that moves the clocks.
    pub fn log_time(&self) -> Option<LogTime> {
        match self {
            Self::Scan(scan) => Some(scan.log_time),
            Self::Rejected { log_time } => *log_time,
        }
    }
}

vocabulary! {
    /// What became of one scan: the label `outcome` of `scans_total`.
    Outcome {
        /// Phase, milestone or anchor changed.
        Applied = "applied",
        /// A copy, or a rule that says "nothing".
        Confirmed = "confirmed",
        /// Only informs.
        Informed = "informed",
        /// Older than what is known: a duplicate or out of order.
        Stale = "stale",
        /// Of an unknown package, and older than settled packages are kept.
        TooOld = "too_old",
        /// Belongs to an earlier life of the number.
        EarlierLife = "earlier_life",
        /// After the journey was over.
        AfterSettled = "after_settled",
        /// Only informs, of an unknown package.
        Ignored = "ignored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicted_movement_silences_nothing() {
        for &milestone in Milestone::ALL {
            assert_eq!(milestone.effect(Evidence::Predicted), Effect::Informs);
        }
    }

    #[test]
    fn a_system_message_registers_holds_and_settles_but_does_not_move() {
        for &milestone in Milestone::ALL {
            let expected = match milestone.nominal_effect() {
                Effect::Moves => Effect::Informs,
                effect => effect,
            };
            assert_eq!(milestone.effect(Evidence::System), expected);
        }
    }

    #[test]
    fn unknown_texts_inform_and_predict() {
        assert_eq!(Milestone::from_text("teleported"), Milestone::Info);
        assert_eq!(Evidence::from_text("hearsay"), Evidence::Predicted);
    }

    #[test]
    fn case_hyphens_and_spaces_of_a_text_do_not_count_and_nothing_else_is_guessed() {
        for text in ["OUT_FOR_DELIVERY", "Out-for-Delivery", "out for delivery"] {
            assert_eq!(Milestone::named(text), Some(Milestone::OutForDelivery), "{text}");
        }
        assert_eq!(Evidence::named("Physical"), Some(Evidence::Physical));
        for &milestone in Milestone::ALL {
            assert_eq!(Milestone::named(&milestone.as_str().to_uppercase()), Some(milestone));
        }
        let long = "delivered".repeat(40);
        for text in [" delivered", "delivered.", "delıvered", "out__for_delivery", "", &long] {
            assert_eq!(Milestone::named(text), None, "{text:?}");
        }
    }
}
