//! Leaves and nodes of the tree (RFC 6962, 2.1). The byte in front keeps a node from passing for an entry.
use aws_lc_rs::digest::{Context, SHA256, digest};

/// SHA-256.
pub type Hash = [u8; 32];

pub fn leaf(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    bytes(context.finish().as_ref())
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    bytes(context.finish().as_ref())
}

/// The root of a tree without entries.
pub(super) fn of_nothing() -> Hash {
    bytes(digest(&SHA256, b"").as_ref())
}

/// The root of a complete subtree, whose hashes stand side by side: their number is a power of two.
pub(super) fn complete(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    match hashes {
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&complete(left), &complete(right))
        }
    }
}

fn bytes(digest: &[u8]) -> Hash {
    digest.try_into().expect("SHA-256 gives 32 bytes")
}
