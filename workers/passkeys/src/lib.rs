//! Passkeys (WebAuthn): what a browser is asked, and whether its answer is right.
//!
//! Nothing is remembered here and nothing is written: a ceremony's state is given to the caller of this crate, who
//! keeps it from being changed or used twice, and credentials come in and go out as text. Every ceremony requires
//! that the device verified its user (by a PIN, a finger, a face; what it saw never leaves it), so a passkey is two
//! factors at once. Attestation is not asked for: which make of device somebody uses is theirs to choose.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod credential;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Url,
    WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};
use webauthn_rs_proto::{AllowCredentials, ResidentKeyRequirement};

pub use credential::Credential;

/// Asks and judges, for one domain and the origins of its pages.
pub struct Ceremonies {
    webauthn: Webauthn,
}

/// A ceremony that waits for the browser's answer.
pub struct Begun {
    /// For `navigator.credentials`: its `publicKey` member, binary values in base64url.
    pub options: Value,
    /// For the end of the ceremony; holds the challenge.
    pub state: String,
}

/// Whose passkey an answer says it is; not proven yet.
pub struct Claimed {
    pub credential_id: Vec<u8>,
    /// The account as the device knows it.
    pub user: Option<Uuid>,
}

/// Why an answer is refused; for the log, not for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("malformed")]
    Malformed,
    /// The device did not verify its user.
    #[error("user-not-verified")]
    Unverified,
    /// The page was none of ours, or inside one of somebody else's.
    #[error("foreign-origin")]
    ForeignOrigin,
    /// The signature is right and its number was used before: two devices hold this passkey.
    #[error("cloned")]
    Cloned,
    #[error("forged")]
    Forged,
}

/// The domain and the origins do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("passkeys cannot be offered for the domain {domain:?} on {origins:?}")]
pub struct Misfit {
    domain: String,
    origins: Vec<String>,
}

impl Ceremonies {
    /// Origins are exact; that of a development machine, `https://localhost`, is good on every port.
    pub fn new(domain: &str, origins: &[String]) -> Result<Self, Misfit> {
        let misfit = || Misfit { domain: domain.to_owned(), origins: origins.to_vec() };
        let urls: Vec<Url> =
            origins.iter().map(|origin| Url::parse(origin)).collect::<Result<_, _>>().map_err(|_| misfit())?;
        let (first, others) = urls.split_first().ok_or_else(misfit)?;
        let builder = WebauthnBuilder::new(domain, first).map_err(|_| misfit())?;
        let builder = builder.rp_name(NAME).allow_any_port(domain == LOCALHOST);
        let builder = others.iter().fold(builder, |builder, origin| builder.append_allowed_origin(origin));
        Ok(Self { webauthn: builder.build().map_err(|_| misfit())? })
    }

    /// A new passkey for somebody; devices that hold one of `known` will not make another.
    pub fn begin_registration(&self, user: Uuid, name: &str, known: &[Credential]) -> Result<Begun, Refusal> {
        let known = known.iter().map(|credential| credential.passkey.cred_id().clone()).collect();
        let begun = self.webauthn.start_passkey_registration(user, name, name, Some(known));
        let (mut creation, state) = begun.map_err(|_| Refusal::Malformed)?;
        if let Some(selection) = &mut creation.public_key.authenticator_selection {
            // It must be found without a name, so that it can stand for one.
            selection.resident_key = Some(ResidentKeyRequirement::Required);
            selection.require_resident_key = true;
        }
        begun_with(&creation.public_key, &state)
    }

    pub fn finish_registration(&self, state: &str, answer: &Value) -> Result<Credential, Refusal> {
        let state: PasskeyRegistration = serde_json::from_str(state).map_err(|_| Refusal::Malformed)?;
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let passkey = self.webauthn.finish_passkey_registration(&answer, &state).map_err(|error| refusal(&error))?;
        let credential = Credential { passkey };
        match credential.id().len() <= CREDENTIAL_ID_BYTES_MAX {
            true => Ok(credential),
            false => Err(Refusal::Malformed),
        }
    }

    /// A passkey is to be shown: one of `known`, or without any whichever the device has for us.
    pub fn begin(&self, known: &[Credential]) -> Result<Begun, Refusal> {
        let begun = self.webauthn.start_discoverable_authentication();
        let (mut request, state) = begun.map_err(|_| Refusal::Malformed)?;
        request.public_key.allow_credentials = known
            .iter()
            .map(|credential| AllowCredentials {
                type_: "public-key".to_owned(),
                id: credential.passkey.cred_id().clone(),
                transports: None,
            })
            .collect();
        begun_with(&request.public_key, &state)
    }

    /// Whose passkey to look for, before `finish`.
    pub fn claimed(&self, answer: &Value) -> Result<Claimed, Refusal> {
        let answer: PublicKeyCredential = read(answer)?;
        let user = match answer.get_user_unique_id() {
            Some(handle) => Some(Uuid::from_slice(handle).map_err(|_| Refusal::Malformed)?),
            None => None,
        };
        Ok(Claimed { credential_id: answer.get_credential_id().to_vec(), user })
    }

    /// The credential as it is from now on. Whether its number was used meanwhile is for the store to see.
    pub fn finish(&self, state: &str, answer: &Value, credential: &Credential) -> Result<Credential, Refusal> {
        let state: DiscoverableAuthentication = serde_json::from_str(state).map_err(|_| Refusal::Malformed)?;
        let answer: PublicKeyCredential = read(answer)?;
        if is_framed(&answer.response.client_data_json) {
            return Err(Refusal::ForeignOrigin);
        }
        let shown = self.webauthn.finish_discoverable_authentication_v2(&answer, state, &credential.passkey);
        let shown = shown.map_err(|error| refusal(&error))?;
        if !shown.user_verified() {
            return Err(Refusal::Unverified);
        }
        let mut now = credential.clone();
        now.passkey.update_credential(&shown).ok_or(Refusal::Forged)?;
        Ok(now)
    }
}

/// The library refuses this for new passkeys and lets it pass for those that are shown.
fn is_framed(client_data: &[u8]) -> bool {
    let client_data: Value = serde_json::from_slice(client_data).unwrap_or_default();
    client_data.get("crossOrigin").is_some_and(|framed| *framed != Value::Bool(false))
}

fn begun_with(options: &impl Serialize, state: &impl Serialize) -> Result<Begun, Refusal> {
    let options = serde_json::to_value(options).map_err(|_| Refusal::Malformed)?;
    let state = serde_json::to_string(state).map_err(|_| Refusal::Malformed)?;
    Ok(Begun { options, state })
}

fn read<T: serde::de::DeserializeOwned>(answer: &Value) -> Result<T, Refusal> {
    T::deserialize(answer).map_err(|_| Refusal::Malformed)
}

fn refusal(error: &WebauthnError) -> Refusal {
    match error {
        WebauthnError::CredentialPossibleCompromise => Refusal::Cloned,
        WebauthnError::UserNotVerified => Refusal::Unverified,
        WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => Refusal::ForeignOrigin,
        WebauthnError::ParseBase64Failure(_)
        | WebauthnError::ParseCBORFailure(_)
        | WebauthnError::ParseJSONFailure(_)
        | WebauthnError::ParseNOMFailure
        | WebauthnError::ParseInsufficientBytesAvailable => Refusal::Malformed,
        _ => Refusal::Forged,
    }
}

/// What devices show beside the account's name.
const NAME: &str = "hotline";
const LOCALHOST: &str = "localhost";
/// As the specification limits it.
const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;

#[cfg(test)]
mod tests;
