//! Proofs: that an entry is in a tree, and that one tree is the beginning of another (RFC 6962, 2.1; RFC 9162, 2.1).
//!
//! Making them needs the tree's hashes; checking them needs nothing but the proof, which may come from anybody.
use super::hash::{self, Hash, node};

/// Where the hashes of complete subtrees come from.
pub trait Hashes {
    type Error;
    /// Of the `index`-th subtree of 2^`height` leaves, which lies within the tree.
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` entries.
pub fn root<H: Hashes>(hashes: &H, size: u64) -> Result<Hash, H::Error> {
    if size == 0 { Ok(hash::of_nothing()) } else { range(hashes, 0, size) }
}

/// That the entry `index` is in the tree of `size` entries; the sibling of the leaf first. `index < size`.
pub fn inclusion<H: Hashes>(hashes: &H, index: u64, size: u64) -> Result<Vec<Hash>, H::Error> {
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + half(to - from);
        if index < middle {
            path.push(range(hashes, middle, to)?);
            to = middle;
        } else {
            path.push(range(hashes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// That the tree of `old` entries is the beginning of the tree of `size`. `0 < old <= size`.
pub fn consistency<H: Hashes>(hashes: &H, old: u64, size: u64) -> Result<Vec<Hash>, H::Error> {
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    // Whether the old tree's root is what is being divided: then whoever checks has it.
    let mut is_root = true;
    while old != to {
        let middle = from + half(to - from);
        if old <= middle {
            path.push(range(hashes, middle, to)?);
            to = middle;
        } else {
            path.push(range(hashes, from, middle)?);
            (from, is_root) = (middle, false);
        }
    }
    if !is_root {
        path.push(range(hashes, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the proof shows that the leaf is the entry `index` of the tree with this root.
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut found) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            found = node(sibling, &found);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            found = node(&found, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && found == *root
}

/// Whether the proof shows that the tree with the old root is the beginning of the one with the new root.
pub fn is_consistent(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 || old >= size {
        let same = old == size && old_root == root;
        let from_nothing = old == 0 && *old_root == hash::of_nothing();
        return proof.is_empty() && (same || from_nothing);
    }
    let whole;
    let proof = if old.is_power_of_two() {
        whole = [&[*old_root], proof].concat();
        &whole[..]
    } else {
        proof
    };
    let Some((first, rest)) = proof.split_first() else { return false };
    let (mut at, mut last) = (old - 1, size - 1);
    let shared = at.trailing_ones();
    (at, last) = (at >> shared, last >> shared);
    let (mut found_old, mut found) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (found_old, found) = (node(sibling, &found_old), node(sibling, &found));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            found = node(&found, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && found_old == *old_root && found == *root
}

/// The root over `from..to`, where `from` begins a subtree that is large enough.
fn range<H: Hashes>(hashes: &H, from: u64, to: u64) -> Result<Hash, H::Error> {
    let leaves = to - from;
    if leaves.is_power_of_two() {
        let height = leaves.trailing_zeros();
        return hashes.subtree(height, from >> height);
    }
    let middle = from + half(leaves);
    Ok(node(&range(hashes, from, middle)?, &range(hashes, middle, to)?))
}

/// The largest power of two below a number of at least two.
fn half(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    /// All leaves of a tree, at hand.
    pub(in super::super) struct Leaves(pub(in super::super) Vec<Hash>);

    impl Hashes for Leaves {
        type Error = std::convert::Infallible;

        fn subtree(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
            let from = (index << height) as usize;
            Ok(hash::complete(&self.0[from..from + (1 << height)]))
        }
    }

    pub(in super::super) fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|n| hash::leaf(&n.to_be_bytes())).collect())
    }

    fn hex(hash: &Hash) -> String {
        HEXLOWER.encode(hash)
    }

    /// The eight entries of the certificate-transparency reference tests, with the roots given there.
    #[test]
    fn roots_are_those_of_the_reference_implementation() {
        let entries =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let leaves =
            Leaves(entries.iter().map(|entry| hash::leaf(&HEXLOWER.decode(entry.as_bytes()).unwrap())).collect());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in roots.iter().enumerate() {
            assert_eq!(hex(&root(&leaves, size as u64).unwrap()), *expected, "size {size}");
        }
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_for_nothing_else() {
        let leaves = leaves(40);
        for size in 1..=40u64 {
            let whole = root(&leaves, size).unwrap();
            for index in 0..size {
                let proof = inclusion(&leaves, index, size).unwrap();
                let leaf = leaves.0[index as usize];
                assert!(is_included(&leaf, index, size, &proof, &whole), "{index} of {size}");
                let longer = [&proof[..], &[leaf]].concat();
                assert!(!is_included(&leaf, index, size, &longer, &whole));
                assert!(proof.is_empty() || !is_included(&leaf, index, size, &proof[1..], &whole));
                assert!((0..size).all(|other| other == index || !is_included(&leaf, other, size, &proof, &whole)));
                assert!(!is_included(&leaf, size, size, &proof, &whole));
            }
            for old in 1..=size {
                let proof = consistency(&leaves, old, size).unwrap();
                let before = root(&leaves, old).unwrap();
                assert!(is_consistent(old, &before, size, &whole, &proof), "{old} of {size}");
                let longer = [&proof[..], &[whole]].concat();
                assert!(!is_consistent(old, &before, size, &whole, &longer));
                assert!(proof.is_empty() || !is_consistent(old, &before, size, &whole, &proof[1..]));
                assert!(old == size || !is_consistent(old, &whole, size, &whole, &proof));
            }
        }
        let nothing = hash::of_nothing();
        assert!(is_consistent(0, &nothing, 3, &root(&leaves, 3).unwrap(), &[]));
        assert!(!is_consistent(0, &leaves.0[0], 3, &root(&leaves, 3).unwrap(), &[]));
        assert!(!is_consistent(3, &root(&leaves, 3).unwrap(), 2, &root(&leaves, 2).unwrap(), &[]));
    }

    proptest! {
        #[test]
        fn a_proof_with_a_changed_bit_shows_nothing(size in 2u64..300, at: u64, old: u64, bit in 0usize..256) {
            let (leaves, index, old) = (leaves(size), at % size, 1 + old % (size - 1));
            let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
            let (whole, before) = (root(&leaves, size).unwrap(), root(&leaves, old).unwrap());
            let mut proof = inclusion(&leaves, index, size).unwrap();
            let changed = (at % proof.len() as u64) as usize;
            flip(&mut proof[changed]);
            prop_assert!(!is_included(&leaves.0[index as usize], index, size, &proof, &whole));
            let mut proof = consistency(&leaves, old, size).unwrap();
            let changed = (at % proof.len() as u64) as usize;
            flip(&mut proof[changed]);
            prop_assert!(!is_consistent(old, &before, size, &whole, &proof));
        }

        #[test]
        fn no_proof_makes_checking_panic(old: u64, size: u64, at: u64, proof in prop::collection::vec(any::<Hash>(), 0..70)) {
            let root = hash::of_nothing();
            prop_assert!(!is_included(&root, at, size, &proof, &[7; 32]));
            prop_assert!(!is_consistent(old, &[7; 32], size, &root, &proof));
        }
    }
}
