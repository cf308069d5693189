//! The key of one subject: everything that is said of a person is sealed under it, and ends with it.
//!
//! A subject has one for each class that seals what is said of people, so that who is given one class's data key opens
//! nothing of another. It lies beside the rows it seals, wrapped by the data key of its class. Where it was destroyed,
//! what it sealed is gone, wherever copies of it may be; and when a data key changes, only such wrapped keys are sealed
//! anew, not what they seal.
use aws_lc_rs::{hkdf, rand};
use zeroize::Zeroizing;

use super::{Aad, KeyClass, Under, Vault, VaultError, aad, envelope, expand, object_key};

/// What a subject has for a class, in clear. Wiped from memory when dropped.
pub struct SubjectKey {
    subject: String,
    class: KeyClass,
    secret: Zeroizing<[u8; 32]>,
    extracted: hkdf::Prk,
}

impl SubjectKey {
    pub fn random(subject: &str, class: KeyClass) -> Result<Self, VaultError> {
        let mut secret = Zeroizing::new([0; 32]);
        rand::fill(&mut *secret).map_err(|_| VaultError::Random)?;
        Ok(Self::new(subject, class, secret))
    }

    fn new(subject: &str, class: KeyClass, secret: Zeroizing<[u8; 32]>) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hotline-subject-v1").extract(&*secret);
        Self { subject: subject.to_owned(), class, secret, extracted }
    }

    /// Seals a value of this subject for the place `aad` names.
    pub fn seal(&self, aad: &Aad<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let head = Under::Subject(self.class).head();
        envelope::seal(&object_key(&self.extracted, self.class, aad), head, aad.bytes_of(&self.subject, &head), plain)
    }

    /// Opens what was sealed for exactly this subject, class and place.
    pub fn open(&self, aad: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let under = Under::read(sealed)?;
        if under != Under::Subject(self.class) {
            return Err(VaultError::OtherClass);
        }
        let bound = aad.bytes_of(&self.subject, &under.head());
        envelope::open(&object_key(&self.extracted, self.class, aad), bound, sealed)
    }

    pub(super) fn class(&self) -> KeyClass {
        self.class
    }

    /// The key of one file, and what each of its segments is bound to. With a salt of its own, a file that is written
    /// again has another key.
    pub(super) fn of_file(&self, aad: &Aad<'_>, header: &[u8]) -> (Zeroizing<[u8; 32]>, Vec<u8>) {
        let bound = aad.bytes_of(&self.subject, header);
        (expand(&self.extracted, &aad::length_prefixed([&b"segments"[..], &bound])), bound)
    }
}

impl Vault {
    /// The key as it is kept: in the row of its subject.
    pub fn wrap(&self, key: &SubjectKey) -> Result<Vec<u8>, VaultError> {
        self.seal(key.class, &place(&key.subject, column(key.class)), &*key.secret)
    }

    pub fn unwrap(&self, subject: &str, class: KeyClass, wrapped: &[u8]) -> Result<SubjectKey, VaultError> {
        let opened = self.open(class, &place(subject, column(class)), wrapped)?;
        let secret = <[u8; 32]>::try_from(&opened[..]).map_err(|_| VaultError::Malformed)?;
        Ok(SubjectKey::new(subject, class, Zeroizing::new(secret)))
    }
}

fn place<'a>(subject: &'a str, column: &'a str) -> Aad<'a> {
    Aad { table: TABLE, row: subject, column, version: 1 }
}

fn column(class: KeyClass) -> &'static str {
    match class {
        KeyClass::Call => "call_key",
        // No other class seals what is said of people.
        _ => "case_key",
    }
}

const TABLE: &str = "subject_keys";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::KeyBytes;

    const PLACE: Aad<'_> = Aad { table: "cases", row: "17", column: "document", version: 3 };

    fn vault(versions: &[u16]) -> Vault {
        let keys = |class: KeyClass| {
            let key =
                |version: &u16| KeyBytes { version: *version, bytes: [*version as u8 + class.name().len() as u8; 32] };
            (class, versions.iter().map(key).collect())
        };
        Vault::new([keys(KeyClass::Case), keys(KeyClass::Call)])
    }

    #[test]
    fn what_is_sealed_for_one_subject_opens_for_no_other() {
        let (ana, ben) = (SubjectKey::random("ana", KeyClass::Case), SubjectKey::random("ben", KeyClass::Case));
        let (ana, ben) = (ana.unwrap(), ben.unwrap());
        let sealed = ana.seal(&PLACE, b"my landlord").unwrap();
        assert_eq!(&*ana.open(&PLACE, &sealed).unwrap(), b"my landlord");
        assert_eq!(ben.open(&PLACE, &sealed), Err(VaultError::Refused));
        for place in [Aad { row: "18", ..PLACE }, Aad { version: 2, ..PLACE }, Aad { column: "title", ..PLACE }] {
            assert_eq!(ana.open(&place, &sealed), Err(VaultError::Refused), "{place:?}");
        }
        // Even under one and the same secret: the subject is bound, too.
        let posing = SubjectKey::new("ben", KeyClass::Case, ana.secret.clone());
        assert_eq!(posing.open(&PLACE, &sealed), Err(VaultError::Refused));
        let other_class = SubjectKey::new("ana", KeyClass::Call, ana.secret.clone());
        assert_eq!(other_class.open(&PLACE, &sealed), Err(VaultError::OtherClass));
    }

    #[test]
    fn a_wrapped_key_opens_for_its_subject_and_class_alone() {
        let vault = vault(&[1]);
        let key = SubjectKey::random("ana", KeyClass::Case).unwrap();
        let wrapped = vault.wrap(&key).unwrap();
        let sealed = key.seal(&PLACE, b"x").unwrap();
        assert_eq!(&*vault.unwrap("ana", KeyClass::Case, &wrapped).unwrap().open(&PLACE, &sealed).unwrap(), b"x");
        assert_eq!(vault.unwrap("ben", KeyClass::Case, &wrapped).err(), Some(VaultError::Refused));
        assert_eq!(vault.unwrap("ana", KeyClass::Call, &wrapped).err(), Some(VaultError::OtherClass));
    }

    #[test]
    fn a_new_data_key_wraps_the_key_anew_and_not_what_it_seals() {
        let key = SubjectKey::random("ana", KeyClass::Call).unwrap();
        let sealed = key.seal(&PLACE, b"x").unwrap();
        let wrapped = vault(&[1]).wrap(&key).unwrap();
        let anew = vault(&[2, 1]).wrap(&vault(&[2, 1]).unwrap("ana", KeyClass::Call, &wrapped).unwrap()).unwrap();
        assert_eq!(&*vault(&[2]).unwrap("ana", KeyClass::Call, &anew).unwrap().open(&PLACE, &sealed).unwrap(), b"x");
        let gone = VaultError::NoVersion { class: KeyClass::Call, version: 1 };
        assert_eq!(
            vault(&[2]).unwrap("ana", KeyClass::Call, &wrapped).err(),
            Some(gone),
            "an older copy of it is void"
        );
    }

    #[test]
    fn values_under_a_class_and_under_a_subject_are_told_apart() {
        let vault = vault(&[1]);
        let key = SubjectKey::random("ana", KeyClass::Case).unwrap();
        let of_class = vault.seal(KeyClass::Case, &PLACE, b"x").unwrap();
        let of_subject = key.seal(&PLACE, b"x").unwrap();
        assert_eq!(key.open(&PLACE, &of_class), Err(VaultError::OtherClass));
        assert_eq!(vault.open(KeyClass::Case, &PLACE, &of_subject), Err(VaultError::OtherClass));
        let mut passed_off = of_class;
        passed_off[..4].copy_from_slice(&of_subject[..4]);
        assert_eq!(key.open(&PLACE, &passed_off), Err(VaultError::Refused));
    }
}
