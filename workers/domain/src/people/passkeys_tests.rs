//! Passkeys in the store: every challenge once, every count once, and what becomes of the account around them.
use super::*;
use crate::Domain;
use crate::people::Factor;
use crate::store::{Changed, Dropped};
use crate::testing::{administrator, block_on, domain};

fn challenge() -> ChallengeUse {
    challenge_use(Uuid::new_v4(), clock::now_ms() / 1_000 + 300)
}

fn add(domain: &Domain, credential_id: &[u8], session: Uuid, challenge: ChallengeUse) -> Added {
    let person = block_on(domain.people.find("admin")).unwrap().unwrap();
    let new = NewPasskey { name: "key", credential_id, credential: "{}".to_owned(), sign_count: 1 };
    block_on(domain.people.add_passkey(&person, new, session, challenge)).unwrap()
}

#[test]
fn the_first_passkey_is_a_second_factor_with_recovery_codes() {
    let (domain, _folder) = domain();
    let person = administrator(&domain);
    let people = &domain.people;
    let session = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
    let other = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
    let once = challenge();
    let Added::Done { id, recovery_codes: Some(codes), ended } = add(&domain, b"one", session.id, once) else {
        panic!()
    };
    assert_eq!(ended, [other.id]);
    assert!(matches!(add(&domain, b"two", session.id, once), Added::Replayed));
    assert!(matches!(add(&domain, b"one", session.id, challenge()), Added::Known));
    let now = block_on(people.find("admin")).unwrap().unwrap();
    assert!(now.has_factor && now.epoch == person.epoch + 1);
    let shown = block_on(domain.sessions.find(session.id)).unwrap().unwrap();
    assert_eq!((shown.factors, shown.lacks_factor), (2, false));
    assert_eq!(block_on(people.take_code(person.id, &codes[0])).unwrap(), Some(Factor::Recovery));
    assert!(block_on(people.take_code(person.id, "123456")).unwrap().is_none(), "there is no app");

    let Added::Done { recovery_codes: None, .. } = add(&domain, b"two", session.id, challenge()) else { panic!() };
    let now = block_on(people.find("admin")).unwrap().unwrap();
    let dropped = block_on(people.drop_factor(&now, Dropped::Passkey(id), session.id)).unwrap();
    assert!(matches!(dropped, Changed::Done { .. }));
    assert_eq!(block_on(people.recovery_codes_left(person.id)).unwrap(), 9, "there is another passkey");
    let now = block_on(people.find("admin")).unwrap().unwrap();
    let left = block_on(people.passkeys(person.id)).unwrap();
    assert!(now.has_factor && left.len() == 1);
    block_on(people.drop_factor(&now, Dropped::Passkey(left[0].id), session.id)).unwrap();
    assert!(!block_on(people.find("admin")).unwrap().unwrap().has_factor);
    assert_eq!(block_on(people.recovery_codes_left(person.id)).unwrap(), 0);
}

#[test]
fn a_count_that_does_not_grow_suspends_and_a_repeated_answer_does_not() {
    let (domain, _folder) = domain();
    let person = administrator(&domain);
    let people = &domain.people;
    add(&domain, b"one", Uuid::nil(), challenge());
    let find = || block_on(people.passkey(b"one")).unwrap().unwrap();
    let take = |count: u32, challenge| {
        block_on(people.take_passkey(&find(), format!("{{\"at\":{count}}}"), count, challenge)).unwrap()
    };
    let first = challenge();
    assert_eq!(take(2, first), PasskeyTaken::Done);
    assert_eq!(find().credential, "{\"at\":2}");
    assert_eq!(take(2, first), PasskeyTaken::Replayed);
    assert!(!block_on(people.suspend_passkey(&find(), first)).unwrap());
    assert!(!find().suspended, "whoever repeats what was overheard takes no passkey away");
    assert_eq!(take(2, challenge()), PasskeyTaken::Cloned);
    assert!(find().suspended);
    assert_eq!(find().credential, "{\"at\":2}", "what the copy said is not believed");
    assert_eq!(take(9, challenge()), PasskeyTaken::Gone);
    assert!(block_on(people.find("admin")).unwrap().unwrap().has_factor, "the password alone is not enough now");
    let _ = person;
}

#[test]
fn of_many_workers_with_the_same_answer_one_takes_it() {
    let (domain, _folder) = domain();
    administrator(&domain);
    add(&domain, b"one", Uuid::nil(), challenge());
    let passkey = block_on(domain.people.passkey(b"one")).unwrap().unwrap();
    let same = challenge();
    let taken = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| block_on(domain.people.take_passkey(&passkey, "{}".to_owned(), 5, same)).unwrap()))
            .collect();
        tries.into_iter().map(|each| each.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(taken.iter().filter(|taken| **taken == PasskeyTaken::Done).count(), 1);
    assert_eq!(taken.iter().filter(|taken| **taken == PasskeyTaken::Replayed).count(), 7);
}

#[test]
fn devices_that_do_not_count_stay_and_the_eleventh_is_refused() {
    let (domain, _folder) = domain();
    administrator(&domain);
    for number in 0..PASSKEYS_MAX {
        assert!(matches!(add(&domain, &[number as u8], Uuid::nil(), challenge()), Added::Done { .. }));
    }
    assert!(matches!(add(&domain, b"eleventh", Uuid::nil(), challenge()), Added::TooMany));
    let (other, _folder) = crate::testing::domain();
    let person = administrator(&other);
    let new = NewPasskey { name: "phone", credential_id: b"p", credential: String::new(), sign_count: 0 };
    block_on(other.people.add_passkey(&person, new, Uuid::nil(), challenge())).unwrap();
    let passkey = block_on(other.people.passkey(b"p")).unwrap().unwrap();
    for _ in 0..2 {
        let taken = block_on(other.people.take_passkey(&passkey, String::new(), 0, challenge())).unwrap();
        assert_eq!(taken, PasskeyTaken::Done);
    }
}
