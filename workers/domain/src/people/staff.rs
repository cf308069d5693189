//! Administration of people: invited, listed, given roles, closed, opened again, given a new start.
//!
//! Whatever changes a person moves their epoch in the same transaction; the caller then puts the sessions that live
//! on back on the board, and every worker knows with its next request.
use hotline::lifecycle::clock;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::rules::{self, PasswordRefusal};
use super::{People, Person, one_time_password, person};
use crate::policy::{Clearance, Role};
use crate::store::{Changed, Dropped, NewPassword, StoreError, UserChange};

/// What an administrator changes.
#[derive(Clone, Copy, Default)]
pub struct StaffChange<'a> {
    pub roles: Option<&'a [Role]>,
    /// Of their own, or (`Some(None)`) as their roles are.
    pub clearance: Option<Option<Clearance>>,
    pub disabled: Option<bool>,
}

/// What an administrator takes away, so that the person starts anew.
#[derive(Clone, Copy, Default)]
pub struct Reset {
    pub password: bool,
    pub factor: bool,
}

/// What became of a password that somebody chose.
#[derive(Debug)]
pub enum PasswordChange {
    Done(Changed),
    Refused(PasswordRefusal),
    /// The old one is wrong.
    Wrong,
}

impl People {
    /// Somebody new, with a password that is shown once and must be replaced. None if the name is taken.
    pub async fn invite(&self, name: &str, roles: &[Role]) -> Result<Option<(Person, Zeroizing<String>)>, StoreError> {
        let password = one_time_password()?;
        let row = self.row(name.trim(), &password, roles, true).await?;
        let invited = person(&self.vault, &row)?;
        let is_new = self.store.insert_user(row).await?;
        Ok(is_new.then_some((invited, password)))
    }

    /// In the order in which they came, at most `limit`, after the id.
    pub async fn list(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Person>, StoreError> {
        let rows = self.store.users(after, limit).await?;
        rows.iter().map(|row| person(&self.vault, row)).collect()
    }

    pub async fn by_id(&self, id: Uuid) -> Result<Option<Person>, StoreError> {
        self.store.user(id).await?.map(|row| person(&self.vault, &row)).transpose()
    }

    pub async fn change(&self, id: Uuid, to: StaffChange<'_>) -> Result<Changed, StoreError> {
        let change = UserChange {
            roles: to.roles.map(role_names),
            clearance: to.clearance.map(|own| own.map(|clearance| clearance.name().to_owned())),
            disabled: to.disabled,
            end_sessions: to.disabled == Some(true),
            ..now()
        };
        self.store.change_user(id, change).await
    }

    /// Ends all sessions; a new one-time password if the password is taken away.
    pub async fn reset(&self, id: Uuid, what: Reset) -> Result<(Changed, Option<Zeroizing<String>>), StoreError> {
        let password = if what.password { Some(one_time_password()?) } else { None };
        let new = match &password {
            Some(password) => Some(self.new_password(password, true).await?),
            None => None,
        };
        let change = UserChange {
            password: new,
            drop: if what.factor { Dropped::All } else { Dropped::Nothing },
            end_sessions: true,
            ..now()
        };
        Ok((self.store.change_user(id, change).await?, password))
    }

    /// The person takes a second factor of their own away; all their sessions end but the one they do it in, because
    /// whoever else has that factor may have opened them.
    pub async fn drop_factor(&self, person: &Person, drop: Dropped, session: Uuid) -> Result<Changed, StoreError> {
        let change =
            UserChange { at_epoch: Some(person.epoch), drop, end_sessions: true, keep_session: Some(session), ..now() };
        self.store.change_user(person.id, change).await
    }

    /// The person replaces their own password; all their sessions end but the one they do it in.
    pub async fn change_password(
        &self,
        person: &Person,
        old: &str,
        new: &str,
        session: Uuid,
    ) -> Result<PasswordChange, StoreError> {
        if self.verify(&person.name, old).await?.is_none_or(|found| found.id != person.id) {
            return Ok(PasswordChange::Wrong);
        }
        if let Err(refusal) = rules::check(new, &person.name, person.has_factor) {
            return Ok(PasswordChange::Refused(refusal));
        }
        if *rules::normal(old) == *rules::normal(new) {
            return Ok(PasswordChange::Refused(PasswordRefusal::Same));
        }
        let change = UserChange {
            at_epoch: Some(person.epoch),
            password: Some(self.new_password(new, false).await?),
            end_sessions: true,
            keep_session: Some(session),
            ..now()
        };
        Ok(PasswordChange::Done(self.store.change_user(person.id, change).await?))
    }

    async fn new_password(&self, password: &str, must_change: bool) -> Result<NewPassword, StoreError> {
        let stands_alone = rules::stands_alone(password);
        Ok(NewPassword { hash: self.passwords.hash(password).await?, must_change, stands_alone })
    }
}

pub(super) fn role_names(roles: &[Role]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",")
}

fn now() -> UserChange {
    UserChange { at_ms: clock::now_ms().cast_signed(), ..UserChange::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PASSWORD, administrator, block_on, domain};

    #[test]
    fn the_last_administrator_stays() {
        let (domain, _folder) = domain();
        let admin = administrator(&domain);
        let people = &domain.people;
        let (second, _) = block_on(people.invite("second", &[Role::Intake])).unwrap().unwrap();
        assert!(block_on(people.invite(" SECOND ", &[Role::Intake])).unwrap().is_none(), "the name is taken");
        let close = StaffChange { disabled: Some(true), ..StaffChange::default() };
        let demote = StaffChange { roles: Some(&[Role::Attorney]), ..StaffChange::default() };
        for change in [close, demote] {
            assert_eq!(block_on(people.change(admin.id, change)).unwrap(), Changed::LastAdministrator);
        }
        let promote = StaffChange { roles: Some(&[Role::Admin]), ..StaffChange::default() };
        assert!(matches!(block_on(people.change(second.id, promote)).unwrap(), Changed::Done { .. }));
        assert!(matches!(block_on(people.change(admin.id, close)).unwrap(), Changed::Done { .. }));
        assert_eq!(block_on(people.change(second.id, demote)).unwrap(), Changed::LastAdministrator, "of the open ones");
        assert_eq!(block_on(people.change(Uuid::now_v7(), close)).unwrap(), Changed::NotFound);
    }

    #[test]
    fn who_is_closed_is_out_and_what_was_proven_before_a_change_is_void() {
        let (domain, _folder) = domain();
        administrator(&domain);
        let people = &domain.people;
        let (invited, password) = block_on(people.invite("ana", &[Role::Attorney])).unwrap().unwrap();
        let found = block_on(people.verify("ana", &password)).unwrap().unwrap();
        assert!(found.must_change_password && found.id == invited.id);
        let session = block_on(domain.sessions.create(&found, 1, None)).unwrap().unwrap();
        let close = StaffChange { disabled: Some(true), ..StaffChange::default() };
        let Changed::Done { ended, living } = block_on(people.change(invited.id, close)).unwrap() else { panic!() };
        assert_eq!((ended, living), (vec![session.id], vec![]));
        assert!(block_on(people.verify("ana", &password)).unwrap().is_none());
        assert!(block_on(domain.sessions.create(&found, 1, None)).unwrap().is_none(), "proven before the change");
        let open = StaffChange { disabled: Some(false), ..StaffChange::default() };
        block_on(people.change(invited.id, open)).unwrap();
        assert!(block_on(domain.sessions.create(&found, 1, None)).unwrap().is_none(), "still before the change");
        assert!(block_on(people.verify("ana", &password)).unwrap().is_some());
    }

    #[test]
    fn a_password_is_replaced_by_who_knows_the_old_one() {
        let (domain, _folder) = domain();
        let admin = administrator(&domain);
        let people = &domain.people;
        let kept = block_on(domain.sessions.create(&admin, 1, None)).unwrap().unwrap().id;
        let other = block_on(domain.sessions.create(&admin, 1, None)).unwrap().unwrap().id;
        let change = |old: &str, new: &str| block_on(people.change_password(&admin, old, new, kept)).unwrap();
        assert!(matches!(change("wrong", "umbrella kettle"), PasswordChange::Wrong));
        let refused = change(PASSWORD, "too short");
        assert!(matches!(refused, PasswordChange::Refused(PasswordRefusal::TooShort { chars_min: 15 })));
        assert!(matches!(change(PASSWORD, PASSWORD), PasswordChange::Refused(PasswordRefusal::Same)));
        // Typed with the accents of another keyboard from then on.
        let done = change(PASSWORD, "un parapluie rouge\u{301}");
        let PasswordChange::Done(Changed::Done { ended, living }) = done else { panic!("{done:?}") };
        assert_eq!((ended, living), (vec![other], vec![kept]));
        assert!(block_on(people.verify("admin", PASSWORD)).unwrap().is_none());
        assert!(block_on(people.verify("admin", "un parapluie roug\u{e9}")).unwrap().is_some());
        let again = change("un parapluie roug\u{e9}", "another umbrella");
        assert!(matches!(again, PasswordChange::Done(Changed::Moved)), "the person is not who they were");
    }

    #[test]
    fn everybody_is_listed_once_page_by_page() {
        let (domain, _folder) = domain();
        administrator(&domain);
        for name in ["ana", "bob"] {
            block_on(domain.people.invite(name, &[Role::Intake])).unwrap().unwrap();
        }
        let names = |page: &[Person]| page.iter().map(|person| person.name.clone()).collect::<Vec<_>>();
        let first = block_on(domain.people.list(None, 2)).unwrap();
        let rest = block_on(domain.people.list(Some(first[1].id), 2)).unwrap();
        assert_eq!((names(&first), names(&rest)), (vec!["admin".into(), "ana".into()], vec!["bob".into()]));
    }

    #[test]
    fn a_short_password_must_grow_when_its_factor_goes() {
        let (domain, _folder) = domain();
        administrator(&domain);
        let people = &domain.people;
        let (ana, one_time) = block_on(people.invite("ana", &[Role::Attorney])).unwrap().unwrap();
        let with_factor = Person { has_factor: true, ..ana.clone() };
        let done = block_on(people.change_password(&with_factor, &one_time, "kettle w", Uuid::nil())).unwrap();
        assert!(matches!(done, PasswordChange::Done(Changed::Done { .. })), "{done:?}");
        let now = block_on(people.by_id(ana.id)).unwrap().unwrap();
        assert!(!now.must_change_password);
        block_on(people.drop_factor(&now, Dropped::App, Uuid::nil())).unwrap();
        assert!(block_on(people.by_id(ana.id)).unwrap().unwrap().must_change_password);
    }
}
