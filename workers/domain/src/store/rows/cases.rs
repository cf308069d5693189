//! Cases, who may see them, and how they are looked for.
use uuid::Uuid;

#[derive(Clone)]
pub struct CaseRow {
    pub id: Uuid,
    pub number: String,
    pub version: u32,
    pub state: String,
    pub urgency: String,
    /// Issue codes, separated by commas.
    pub issues: String,
    pub classification: String,
    pub assigned_to: Option<Uuid>,
    /// A user, or none for the product itself.
    pub created_by: Option<Uuid>,
    pub call: Option<Uuid>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub updated_by: Option<Uuid>,
    /// Title, names, contacts, narrative: one sealed document for each version; empty where it was erased.
    pub document_sealed: Vec<u8>,
    /// What stands around the case now; read along with it, and not written with it.
    pub guards: Vec<GuardRow>,
    /// Whose matter it is.
    pub subject: Uuid,
    pub erased_at_ms: Option<i64>,
    /// The subject's key for cases, wrapped; looked up, not kept here. None: it has none yet, or no more.
    pub subject_key: Option<Vec<u8>>,
}

/// What stands around a case.
#[derive(Clone)]
pub struct GuardRow {
    pub id: Uuid,
    pub case: Uuid,
    pub subject: Uuid,
    pub kind: String,
    pub user: Option<Uuid>,
    pub what: Option<String>,
    /// Empty where it was erased.
    pub reason_sealed: Vec<u8>,
    pub made_by: Uuid,
    pub made_at_ms: i64,
    pub until_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    pub ended_by: Option<Uuid>,
}

/// A case by id or by number.
#[derive(Clone, Debug)]
pub enum CaseKey {
    Id(Uuid),
    Number(String),
}

#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    pub state: Option<String>,
    pub urgency: Option<String>,
    pub assigned_to: Option<Uuid>,
    pub created_by: Option<Uuid>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Changed at that moment or later.
    pub changed_from_ms: Option<i64>,
    /// Changed before that moment.
    pub changed_to_ms: Option<i64>,
    pub order: CaseOrder,
}

/// In which order rows come. Within each, the id decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaseOrder {
    #[default]
    NewestFirst,
    LastChangedFirst,
    LastChangedLast,
    /// By the rank of the urgency, then the oldest first.
    MostUrgentFirst,
}

/// The last row of the page before, by what the order looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasePosition {
    /// Of the urgency; 0 in the other orders.
    pub rank: u8,
    /// When it was made or changed, whatever the order looks at.
    pub at_ms: i64,
    pub id: Uuid,
}

/// As the store ranks urgencies; what it does not know comes last.
pub const URGENCIES: [&str; 4] = ["emergency", "urgent", "soon", "routine"];

impl CaseOrder {
    pub fn position(self, row: &CaseRow) -> CasePosition {
        let rank = || URGENCIES.iter().position(|name| *name == row.urgency).unwrap_or(URGENCIES.len());
        CasePosition {
            rank: if self == Self::MostUrgentFirst { rank() as u8 } else { 0 },
            at_ms: match self {
                Self::NewestFirst | Self::MostUrgentFirst => row.created_at_ms,
                Self::LastChangedFirst | Self::LastChangedLast => row.updated_at_ms,
            },
            id: row.id,
        }
    }
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    Done,
    Conflict { current_version: u32 },
    NotFound,
}
