//! A PKCS#11 token: the vendor's module is loaded, the one token found by its label, and logged in to with one try.
//!
//! A token locks itself after a few wrong PINs, and a service manager starts a service again and again. So a PIN
//! that was refused is not tried a second time, and a token that says it is close to locking is not tried at all.
use std::fs;
use std::path::PathBuf;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::provider::{PIN_CREDENTIAL, ProviderError};
use crate::config::Keys;

/// Where the token is and what opens it.
pub(super) struct TokenPlace {
    module: PathBuf,
    pub(super) label: String,
    pin_file: Option<PathBuf>,
}

impl TokenPlace {
    /// `credentials` is `$CREDENTIALS_DIRECTORY`.
    pub(super) fn new(keys: &Keys, credentials: Option<PathBuf>) -> Option<Self> {
        Some(Self {
            module: keys.pkcs11_module.clone()?,
            label: keys.pkcs11_token_label.clone(),
            pin_file: keys.pkcs11_pin_file.clone().or_else(|| Some(credentials?.join(PIN_CREDENTIAL))),
        })
    }

    /// A session that is logged in. Ends, and logs out, when dropped.
    pub(super) fn log_in(&self) -> Result<Session, ProviderError> {
        let module = self.load()?;
        let slot = self.find(&module)?;
        self.refuse_danger(&module, slot)?;
        let session = module.open_rw_session(slot).map_err(self.failed("open a session"))?;
        let (pin, file) = self.pin()?;
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                Err(ProviderError::WrongPin { label: self.label.clone(), file })
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(self.in_danger("is locked")),
            Err(error) => Err(self.failed("log in")(error)),
        }
    }

    /// What a token says when it fails, in one word of the standard: no value of ours is in it.
    pub(super) fn failed(&self, act: &'static str) -> impl FnOnce(Error) -> ProviderError {
        let label = self.label.clone();
        move |error| {
            let reason = match error {
                Error::Pkcs11(code, function) => format!("{function} gave {code:?}"),
                error => error.to_string(),
            };
            ProviderError::Token { label, act, reason }
        }
    }

    fn load(&self) -> Result<Pkcs11, ProviderError> {
        let refused = |reason: String| ProviderError::Module { module: self.module.clone(), reason };
        let module = Pkcs11::new(&self.module).map_err(|error| refused(error.to_string()))?;
        // A process that speaks to a token does nothing else, in one thread.
        let flags = CInitializeFlags::OS_LOCKING_OK | CInitializeFlags::LIBRARY_CANT_CREATE_OS_THREADS;
        let initialized = match module.initialize(CInitializeArgs::new(flags)) {
            // Some modules cannot do without threads of their own.
            Err(Error::Pkcs11(RvError::NeedToCreateThreads, _)) => {
                module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            }
            initialized => initialized,
        };
        match initialized {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    fn find(&self, module: &Pkcs11) -> Result<Slot, ProviderError> {
        let slots = module.get_slots_with_initialized_token().map_err(self.failed("list its slots"))?;
        let labelled: Vec<(Slot, String)> = slots
            .into_iter()
            .filter_map(|slot| Some((slot, module.get_token_info(slot).ok()?.label().trim_end().to_owned())))
            .collect();
        let ours: Vec<Slot> =
            labelled.iter().filter(|(_, label)| *label == self.label).map(|(slot, _)| *slot).collect();
        match ours[..] {
            [slot] => Ok(slot),
            [] => {
                let present = labelled.into_iter().map(|(_, label)| label).collect();
                Err(ProviderError::NoToken { label: self.label.clone(), present })
            }
            _ => Err(ProviderError::TwoTokens { label: self.label.clone(), count: ours.len() }),
        }
    }

    fn refuse_danger(&self, module: &Pkcs11, slot: Slot) -> Result<(), ProviderError> {
        let info = module.get_token_info(slot).map_err(self.failed("tell its state"))?;
        match (info.user_pin_locked(), info.user_pin_final_try()) {
            (true, _) => Err(self.in_danger("is locked")),
            (_, true) => Err(self.in_danger("has one try left")),
            _ => Ok(()),
        }
    }

    fn in_danger(&self, state: &'static str) -> ProviderError {
        ProviderError::PinInDanger { label: self.label.clone(), state }
    }

    fn pin(&self) -> Result<(AuthPin, PathBuf), ProviderError> {
        let file = self.pin_file.clone().ok_or_else(|| ProviderError::NoPin { label: self.label.clone() })?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => Zeroizing::new(text),
            Err(source) => return Err(ProviderError::Read { path: file, source }),
        };
        // An editor ends the line; a PIN does not.
        let pin = text.trim_end_matches(['\r', '\n']);
        if pin.is_empty() {
            return Err(ProviderError::NoPin { label: self.label.clone() });
        }
        Ok((AuthPin::from(pin.to_owned()), file))
    }
}
