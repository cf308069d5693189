//! A transparency log as the world knows it: a Merkle tree whose head is signed, laid out in tiles.
//!
//! Hashing is that of RFC 6962, tiles and entry bundles are those of C2SP `tlog-tiles`, heads are C2SP checkpoints
//! (signed notes with Ed25519), and proofs are written as C2SP `tlog-proof`. Whoever has a checkpoint can be shown that
//! an entry is in the log, and that a later checkpoint took nothing back, without trusting us or having a key of ours.
mod checkpoint;
mod edge;
mod hash;
mod note;
mod proof;
mod pruned;
mod store;
mod tile;
mod written;

pub use checkpoint::Checkpoint;
pub use edge::Edge;
pub use hash::{Hash, leaf, node};
pub use note::{NoteError, Signer, Verifier, is_log_name};
pub use proof::{Hashes, consistency, inclusion, is_consistent, is_included, root};
pub use pruned::Pruned;
pub(crate) use store::bundled;
pub use store::{Store, StoreError, Tree};
pub use tile::{TILE_WIDTH, Tile, TileKind};
pub use written::{Proof, ProofError};
