//! What truly happened to the demo's packages, and what was reported of it.

use super::carriers::Facility;
use super::numbers::Spelling;
use crate::detector::scan::{Evidence, Milestone};

/// What an event truly was. The network says so when it makes the event; nobody concludes it from
/// the words of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A label was printed.
    Labelled,
    /// The shipper's books say that the carrier has it now.
    Tendered,
    /// Somebody had the piece in hand, and it went on.
    Moved,
    /// Somebody had the piece in hand, and it stayed.
    Rested,
    /// A computer says that it stays or is lost; nobody had it in hand.
    Declared,
    /// It was delivered, to the addressee or back to the sender.
    Ended,
    /// The shipper called it off.
    Voided,
    /// Somebody expects a movement.
    Announced,
    /// Mere words.
    Remarked,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What it truly was.
    pub deed: Deed,
    /// What the carrier calls it.
    pub milestone: Milestone,
    /// How the carrier says that it is known.
    pub evidence: Evidence,
    /// Where.
    pub place: Option<&'static Facility>,
    /// On the way back to the sender.
    pub back: bool,
}

/// One scan: an event as it was reported.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Index of the life that it tells of.
    pub life: u32,
    /// What it tells of.
    pub event: Event,
    /// When the carrier says that it happened, in milliseconds since 1970.
    pub said_ms: Option<i64>,
    /// When the feed received it, in milliseconds since 1970.
    pub logged_ms: i64,
    /// How carrier and number are written.
    pub spelling: Spelling,
    /// Whether it names service, destination, shipper and value.
    pub tells_traits: bool,
}

/// What scans may tell of a package beside its whereabouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Traits {
    pub service: &'static str,
    pub destination_country: &'static str,
    pub shipper: &'static str,
    pub value_tier: &'static str,
}

/// How a journey ended, or stood when the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Fate {
    OnTheWay,
    Delivered,
    Returned,
    NeverHandedOver,
    CalledOff,
    LostAndFound,
    Lost,
}

impl Fate {
    /// All of them, in the order of a summary.
    pub const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Returned,
        Self::OnTheWay,
        Self::CalledOff,
        Self::NeverHandedOver,
        Self::LostAndFound,
        Self::Lost,
    ];

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnTheWay => "on the way",
            Self::Delivered => "delivered",
            Self::Returned => "returned to the sender",
            Self::NeverHandedOver => "label never handed over",
            Self::CalledOff => "called off",
            Self::LostAndFound => "lost and found again",
            Self::Lost => "lost",
        }
    }
}

/// One journey. A number that is used again has several.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Index of the package.
    pub package: u32,
    /// What scans may tell of it.
    pub traits: Traits,
    /// How it ended.
    pub fate: Fate,
    /// It stood in a hub that had gone quiet.
    pub held: bool,
}

/// One tracking number of one carrier.
#[derive(Clone, Debug)]
pub struct Package {
    /// The carrier in normal form.
    pub carrier: &'static str,
    /// The number as printed, which is its normal form.
    pub number: String,
    /// The partition that its scans go to.
    pub partition: i32,
}
