//! One passkey's public half: enough to recognise it, not to use it. Kept as text, in the library's own form.
use webauthn_rs::prelude::Passkey;

#[derive(Clone)]
pub struct Credential {
    pub(crate) passkey: Passkey,
}

impl Credential {
    /// None if it is not what [`Self::text`] gave.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|passkey| Self { passkey })
    }

    pub fn text(&self) -> String {
        serde_json::to_string(&self.passkey).expect("a credential is plain data with text keys")
    }

    /// Chosen by the device.
    pub fn id(&self) -> &[u8] {
        self.passkey.cred_id().as_ref()
    }

    /// How often the device says it has signed with it; devices that share it among them say 0 always.
    pub fn sign_count(&self) -> u32 {
        let text = serde_json::to_value(&self.passkey).unwrap_or_default();
        text["cred"]["counter"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX)
    }
}
