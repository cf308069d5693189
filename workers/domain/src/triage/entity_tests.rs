//! What must be found as an entity, and what must not.
use super::*;

fn found(text: &str, language: &str) -> Vec<(EntityKind, String)> {
    thread_local!(static TRIAGE: Triage = {
        let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
        Triage::load(&folder).unwrap()
    });
    let input =
        Input { text, language: Some(language), called_on: jiff::civil::date(2026, 11, 23), jurisdiction: "US" };
    let analysis = TRIAGE.with(|triage| triage.analyze(&input, None));
    analysis.entities.into_iter().map(|entity| (entity.kind, entity.value)).collect()
}

/// Language, text, and the entities in it.
type Row<'r> = (&'r str, &'r str, &'r [(EntityKind, &'r str)]);

#[test]
fn entities_are_read_as_people_say_them() {
    use EntityKind::*;
    let table: &[Row<'_>] = &[
        (
            "en",
            "My name is James Carter and my landlord, Mrs. Ann Lee, is here.",
            &[(Person, "James Carter"), (Person, "Ann Lee")],
        ),
        ("en", "my name is james carter, please call", &[(Person, "james carter")]),
        ("en", "My boss's name is Tom Reed.", &[(Person, "Tom Reed")]),
        ("en", "I am calling about my rent. I'm Scared.", &[]),
        ("en", "It was judge Alvarez.", &[(Person, "Alvarez")]),
        ("en", "I live at 120 Oak Street, apartment 4B.", &[(Address, "120 Oak Street, apartment 4B")]),
        ("en", "There were 3 people on the street.", &[]),
        (
            "en",
            "Sunrise Property Management and Bank of America called.",
            &[(Organisation, "Sunrise Property Management"), (Organisation, "Bank of America")],
        ),
        ("en", "ICE took him. The ice was cold.", &[(Organisation, "ICE")]),
        ("en", "He wants $1,250.50 or twelve hundred dollars.", &[(Money, "USD 1250.50"), (Money, "USD 1200")]),
        ("en", "My number is (212) 555-0187.", &[(Phone, "2125550187")]),
        ("en", "Call me at two one two, five five five, oh one eight seven.", &[(Phone, "2125550187")]),
        ("en", "My number is 5, 5, 5, 0, 1, 4, 2.", &[(Phone, "5550142")]),
        ("en", "I owe 1234567 and I waited 10 years.", &[]),
        ("en", "It is case number 23-CV-01234.", &[(CaseNumber, "23-CV-01234")]),
        ("en", "His A-number is A123-456-789.", &[(CaseNumber, "A123-456-789")]),
        (
            "en",
            "They cite Civil Code 1946 and 42 U.S.C. 1983.",
            &[(Statute, "Civil Code 1946"), (Statute, "42 U.S.C. 1983")],
        ),
        ("en", "I have a Section 8 voucher.", &[]),
        (
            "es",
            "Me llamo Juan Carlos Pérez, mi jefe es el señor Gómez.",
            &[(Person, "Juan Carlos Pérez"), (Person, "Gómez")],
        ),
        (
            "es",
            "Vivo en la calle Roble 12 y debo dos mil quinientos dólares.",
            &[(Address, "calle Roble 12"), (Money, "USD 2500")],
        ),
        ("es", "Mi teléfono es cinco cinco cinco, cero uno cuatro dos.", &[(Phone, "5550142")]),
    ];
    let mut wrong = Vec::new();
    for (language, text, wanted) in table {
        let got = found(text, language);
        let wanted: Vec<_> = wanted.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect();
        if got != wanted {
            wrong.push(format!("{text:?}\n  wanted {wanted:?}\n  got    {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
