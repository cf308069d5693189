//! Ceremonies with a device made of a key and a few bytes, which says whatever a bad one could say.
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::*;

/// One passkey and the page it is shown on.
struct Device {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    says: Says,
}

/// All that a device and a browser vouch for.
#[derive(Clone)]
struct Says {
    domain: String,
    origin: String,
    framed: bool,
    kind: Option<&'static str>,
    flags: u8,
    count: u32,
}

impl Device {
    fn new() -> Self {
        let says = Says {
            domain: "example.org".to_owned(),
            origin: "https://console.example.org".to_owned(),
            framed: false,
            kind: None,
            flags: PRESENT | VERIFIED,
            count: 1,
        };
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { key, id: vec![7; 32], says }
    }

    fn client_data(&self, kind: &str, begun: &Begun) -> Vec<u8> {
        let kind = self.says.kind.unwrap_or(kind);
        let challenge = &begun.options["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.says.origin, "crossOrigin": self.says.framed })
            .to_string()
            .into_bytes()
    }

    fn device_data(&self, flags: u8) -> Vec<u8> {
        let domain = digest(&SHA256, self.says.domain.as_bytes());
        [domain.as_ref(), &[flags], &self.says.count.to_be_bytes()].concat()
    }

    fn makes(&self, begun: &Begun) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        // COSE: EC2, ES256, P-256.
        let key = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], x, &[0x22, 0x58, 32], y].concat();
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let data = [&self.device_data(self.says.flags | ATTESTED)[..], &[0; 16], &length, &self.id, &key].concat();
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        attestation.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        attestation.extend(data);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "attestationObject": text(&attestation),
                "clientDataJSON": text(&self.client_data("webauthn.create", begun)),
                "transports": ["internal"],
            },
        })
    }

    fn shows(&self, begun: &Begun, user: Uuid) -> Value {
        let client_data = self.client_data("webauthn.get", begun);
        let data = self.device_data(self.says.flags);
        let message = [&data[..], digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "authenticatorData": text(&data), "clientDataJSON": text(&client_data),
                "signature": text(signature.as_ref()), "userHandle": text(user.as_bytes()),
            },
        })
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn ceremonies() -> Ceremonies {
    Ceremonies::new("example.org", &["https://console.example.org".to_owned()]).unwrap()
}

fn register(device: &Device) -> Result<Credential, Refusal> {
    let begun = ceremonies().begin_registration(USER, "ana", &[]).unwrap();
    ceremonies().finish_registration(&begun.state, &device.makes(&begun))
}

fn show(device: &Device, credential: &Credential) -> Result<Credential, Refusal> {
    let begun = ceremonies().begin(&[]).unwrap();
    ceremonies().finish(&begun.state, &device.shows(&begun, USER), credential)
}

#[test]
fn a_passkey_is_made_and_shown_and_its_count_is_kept() {
    let mut device = Device::new();
    let begun = ceremonies().begin_registration(USER, "ana", &[]).unwrap();
    let asked = &begun.options["authenticatorSelection"];
    assert_eq!((&asked["residentKey"], &asked["userVerification"]), (&json!("required"), &json!("required")));
    assert_eq!(begun.options["attestation"], "none");
    let credential = ceremonies().finish_registration(&begun.state, &device.makes(&begun)).unwrap();
    assert_eq!((credential.id(), credential.sign_count()), (&device.id[..], 1));
    let kept = Credential::parse(&credential.text()).unwrap();
    assert!(Credential::parse("{}").is_none());

    device.says.count = 5;
    let begun = ceremonies().begin(std::slice::from_ref(&kept)).unwrap();
    assert_eq!(begun.options["userVerification"], "required");
    assert_eq!(begun.options["allowCredentials"][0]["id"], json!(text(&device.id)));
    let shown = device.shows(&begun, USER);
    let claimed = ceremonies().claimed(&shown).unwrap();
    assert_eq!((claimed.credential_id, claimed.user), (device.id.clone(), Some(USER)));
    assert_eq!(ceremonies().finish(&begun.state, &shown, &kept).unwrap().sign_count(), 5);
    let again = ceremonies().begin_registration(USER, "ana", &[kept]).unwrap();
    assert_eq!(again.options["excludeCredentials"][0]["id"], json!(text(&device.id)));
}

#[test]
fn whatever_a_device_or_a_page_says_wrongly_is_refused() {
    type Lie = fn(&mut Says);
    let table: [(&str, Lie, Refusal); 9] = [
        ("nobody was verified", |says| says.flags = PRESENT, Refusal::Unverified),
        ("nobody was there", |says| says.flags = VERIFIED, Refusal::Forged),
        ("another domain", |says| says.domain = "example.com".to_owned(), Refusal::Forged),
        ("another page", |says| says.origin = "https://evil.example.org".to_owned(), Refusal::ForeignOrigin),
        ("a page below", |says| says.origin = "https://a.console.example.org".to_owned(), Refusal::ForeignOrigin),
        ("another port", |says| says.origin = "https://console.example.org:8443".to_owned(), Refusal::ForeignOrigin),
        ("without TLS", |says| says.origin = "http://console.example.org".to_owned(), Refusal::ForeignOrigin),
        ("in a frame", |says| says.framed = true, Refusal::ForeignOrigin),
        ("another ceremony", |says| says.kind = Some("payment.get"), Refusal::Forged),
    ];
    let credential = |device: &Device| register(&Device { says: Device::new().says, ..device_of(device) }).unwrap();
    for (what, lie, refusal) in table {
        let mut device = Device::new();
        let known = credential(&device);
        device.says.count = 2;
        show(&device, &known).unwrap();
        lie(&mut device.says);
        assert_eq!(show(&device, &known).err(), Some(refusal), "shown: {what}");
        assert_eq!(register(&device).err(), Some(refusal), "made: {what}");
    }
}

#[test]
fn an_answer_is_to_its_own_challenge_by_its_own_key() {
    let device = Device { says: Says { count: 2, ..Device::new().says }, ..Device::new() };
    let known = register(&Device { says: Device::new().says, ..device_of(&device) }).unwrap();
    let (one, other) = (ceremonies().begin(&[]).unwrap(), ceremonies().begin(&[]).unwrap());
    let shown = device.shows(&one, USER);
    assert_eq!(ceremonies().finish(&other.state, &shown, &known).err(), Some(Refusal::Forged));
    ceremonies().finish(&one.state, &shown, &known).unwrap();
    // Another key under the same name.
    let stranger = Device { id: device.id.clone(), says: device.says.clone(), ..Device::new() };
    assert_eq!(show(&stranger, &known).err(), Some(Refusal::Forged));
    for part in ["authenticatorData", "clientDataJSON", "signature"] {
        for spoilt in [json!(""), json!("AAAA"), json!(7), Value::Null] {
            let mut altered = shown.clone();
            altered["response"][part] = spoilt.clone();
            assert!(ceremonies().finish(&one.state, &altered, &known).is_err(), "{part} = {spoilt}");
        }
    }
    for malformed in [json!(null), json!({}), json!([shown]), json!("x")] {
        assert_eq!(ceremonies().finish(&one.state, &malformed, &known).err(), Some(Refusal::Malformed));
        assert!(ceremonies().claimed(&malformed).is_err());
    }
    let mut handle = shown.clone();
    handle["response"]["userHandle"] = json!(text(b"admin"));
    assert!(ceremonies().claimed(&handle).is_err());
    assert_eq!(ceremonies().finish("{}", &shown, &known).err(), Some(Refusal::Malformed));
}

#[test]
fn a_count_that_does_not_grow_is_a_copy() {
    let mut device = Device::new();
    device.says.count = 5;
    let known = register(&device).unwrap();
    for (count, expected) in
        [(5, Some(Refusal::Cloned)), (4, Some(Refusal::Cloned)), (0, Some(Refusal::Cloned)), (6, None)]
    {
        device.says.count = count;
        assert_eq!(show(&device, &known).err(), expected, "{count}");
    }
    device.says.count = 0;
    let does_not_count = register(&device).unwrap();
    assert!(show(&device, &does_not_count).is_ok());
}

#[test]
fn a_domain_and_pages_that_do_not_fit_are_refused() {
    let new = |domain: &str, origins: &[&str]| {
        Ceremonies::new(domain, &origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>()).is_ok()
    };
    assert!(new("example.org", &["https://example.org", "https://console.example.org"]));
    assert!(new("localhost", &["https://localhost"]));
    for (domain, origins) in [
        ("example.org", &[][..]),
        ("example.org", &["https://example.com"]),
        ("ample.org", &["https://example.org"]),
        ("example.org", &["example.org"]),
    ] {
        assert!(!new(domain, origins), "{domain} {origins:?}");
    }
}

/// The same key, for a device that says something else.
fn device_of(device: &Device) -> Device {
    let key = device.key.to_pkcs8v1().unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap();
    Device { key, id: device.id.clone(), says: device.says.clone() }
}

const USER: Uuid = Uuid::from_u128(0x0197_b6a0_0000_7000_8000_0000_0000_0001);
const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;
const ATTESTED: u8 = 0x40;
