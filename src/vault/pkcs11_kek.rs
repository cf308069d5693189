//! The key over the keys inside a hardware security module: made there, used there, destroyed there, never out of it.
//!
//! A version is an AES-256 object named `<label>-0001` whose CKA_ID is the keyring's own number and the version, so
//! that two installations that share a token never take each other's. Data keys are sealed with AES-GCM in the
//! token, their label as associated data, under twelve random bytes of the system. One version seals the few data
//! keys there are and no more.
use std::cell::OnceCell;
use std::path::PathBuf;

use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::rand;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use zeroize::Zeroizing;

use super::provider::{Kek, KeyProvider, ProviderError};
use super::token::TokenPlace;
use crate::config::Keys;

/// The keys of one keyring in one token. Nothing is loaded before the first use.
pub(super) struct Pkcs11Keks {
    place: TokenPlace,
    session: OnceCell<Session>,
    key_label: String,
    /// Of the keyring, random: what CKA_ID begins with.
    ring: String,
}

impl Pkcs11Keks {
    /// None without `keys.pkcs11_module`.
    pub(super) fn new(keys: &Keys, credentials: Option<PathBuf>, ring: &str) -> Option<Self> {
        let place = TokenPlace::new(keys, credentials)?;
        let (key_label, ring) = (keys.pkcs11_key_label.clone(), ring.to_owned());
        Some(Self { place, session: OnceCell::new(), key_label, ring })
    }

    fn session(&self) -> Result<&Session, ProviderError> {
        if let Some(session) = self.session.get() {
            return Ok(session);
        }
        let session = self.place.log_in()?;
        Ok(self.session.get_or_init(|| session))
    }

    fn named(&self, version: u32) -> Named {
        let object_id = [self.ring.as_bytes(), &version.to_be_bytes()].concat();
        Named { label: format!("{}-{version:04}", self.key_label), object_id }
    }

    fn id(&self, named: &Named) -> String {
        format!("pkcs11:{}:{}:{}", self.place.label, named.label, self.ring)
    }

    fn found(&self, named: &Named) -> Result<Option<ObjectHandle>, ProviderError> {
        let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Id(named.object_id.clone())];
        let found = self.session()?.find_objects(&template).map_err(self.place.failed("find a key"))?;
        match found[..] {
            [] => Ok(None),
            [key] => Ok(Some(key)),
            _ => {
                let (label, key) = (self.place.label.clone(), named.label.clone());
                Err(ProviderError::TwoKeys { label, key, count: found.len() })
            }
        }
    }

    /// The object that the keyring means.
    fn key(&self, kek: &Kek) -> Result<ObjectHandle, ProviderError> {
        let named = self.named(kek.version);
        if self.id(&named) != kek.id {
            return Err(ProviderError::Other { wanted: kek.id.clone(), found: self.id(&named) });
        }
        let missing = || ProviderError::NoKey { label: self.place.label.clone(), key: named.label.clone() };
        self.found(&named)?.ok_or_else(missing)
    }
}

impl KeyProvider for Pkcs11Keks {
    fn make(&self, version: u32) -> Result<String, ProviderError> {
        let named = self.named(version);
        // One that a crash has left has wrapped nothing and is as good as new.
        if self.found(&named)?.is_none() {
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::ValueLen(Ulong::from(32)),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Wrap(false),
                Attribute::Unwrap(false),
                Attribute::Label(named.label.clone().into_bytes()),
                Attribute::Id(named.object_id.clone()),
            ];
            let made = self.session()?.generate_key(&Mechanism::AesKeyGen, &template);
            made.map_err(self.place.failed("make a key"))?;
        }
        Ok(self.id(&named))
    }

    fn wrap(&self, kek: &Kek, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| ProviderError::Random)?;
        let (object, session) = (self.key(kek)?, self.session()?);
        let sealed = {
            let parameters = GcmParams::new(&mut nonce, label.as_bytes(), TAG_BITS.into());
            let parameters = parameters.map_err(self.place.failed("wrap a data key"))?;
            session.encrypt(&Mechanism::AesGcm(parameters), object, key)
        };
        // A token that insists on a nonce of its own has put it in the place of ours.
        Ok([&nonce[..], &sealed.map_err(self.place.failed("wrap a data key"))?].concat())
    }

    fn unwrap(&self, kek: &Kek, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
        let refused = || ProviderError::Refused { label: label.to_owned(), id: kek.id.clone() };
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(refused)?;
        let mut nonce = *nonce;
        let (object, session) = (self.key(kek)?, self.session()?);
        let parameters = GcmParams::new(&mut nonce, label.as_bytes(), TAG_BITS.into());
        let parameters = parameters.map_err(self.place.failed("unwrap a data key"))?;
        let opened = match session.decrypt(&Mechanism::AesGcm(parameters), object, sealed) {
            Ok(opened) => Zeroizing::new(opened),
            Err(error) if is_refusal(&error) => return Err(refused()),
            Err(error) => return Err(self.place.failed("unwrap a data key")(error)),
        };
        Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| refused())?))
    }

    fn destroy(&self, kek: &Kek) -> Result<(), ProviderError> {
        match self.key(kek) {
            Ok(object) => self.session()?.destroy_object(object).map_err(self.place.failed("destroy a key")),
            Err(ProviderError::NoKey { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What is said of a ciphertext whose tag does not fit; modules differ in the word.
fn is_refusal(error: &cryptoki::error::Error) -> bool {
    use cryptoki::error::{Error, RvError};
    let words = matches!(error, Error::Pkcs11(RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange, _));
    // SoftHSM says this for a wrong tag.
    words || matches!(error, Error::Pkcs11(RvError::GeneralError, cryptoki::context::Function::Decrypt))
}

/// A version of the key as the token knows it.
struct Named {
    label: String,
    object_id: Vec<u8>,
}

const TAG_BITS: u64 = 128;
