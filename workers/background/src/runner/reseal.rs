//! Seals anew, in the background, what is under a former version of a data key; a little at each turn.
//!
//! One worker does it for all. Every worker is replaced when a key is rotated, so a walk begins when there is something
//! to do; a later one finds what was written meanwhile by whoever did not yet have the new key.
use std::time::{Duration, Instant};

use hotline::telemetry::names;
use hotline::vault::KeyClass;
use hotline::wire::SealedCount;
use hotline_domain::sealed::{Sealed, Walk};
use hotline_domain::store::StoreError;

/// Where it is.
pub(super) struct Reseal {
    walk: Walk,
    is_new: bool,
    rests_until: Option<Instant>,
}

impl Reseal {
    pub(super) fn new() -> Self {
        Self { walk: Walk::default(), is_new: true, rests_until: None }
    }

    /// Works for a moment, if it is time to.
    pub(super) async fn turn(&mut self, sealed: &Sealed, now: Instant) {
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        if let Err(error) = self.work(sealed, now).await {
            tracing::warn!(%error, "could not seal anew what is under a former key; trying again");
            self.rests_until = Some(now + PAUSE);
        }
    }

    async fn work(&mut self, sealed: &Sealed, now: Instant) -> Result<(), StoreError> {
        if self.is_new {
            self.tell_left(sealed).await?;
            self.is_new = false;
        }
        self.rests_until = None;
        while now.elapsed() < TURN {
            let stepped = sealed.step(&mut self.walk).await?;
            metrics::counter!(names::RESEALED).increment(stepped.resealed);
            metrics::counter!(names::RESEAL_REFUSED).increment(stepped.refused);
            if stepped.is_over {
                self.tell_left(sealed).await?;
                (self.is_new, self.rests_until) = (true, Some(now + REST));
                return Ok(());
            }
        }
        Ok(())
    }

    async fn tell_left(&self, sealed: &Sealed) -> Result<(), StoreError> {
        let counts = sealed.counts().await?;
        for class in [KeyClass::Case, KeyClass::Call, KeyClass::Person] {
            let newest = sealed.newest(class);
            let is_left = |one: &&SealedCount| one.class == class && Some(one.version) != newest;
            let left: u64 = counts.iter().filter(is_left).map(|one| one.count).sum();
            metrics::gauge!(names::RESEAL_LEFT, "class" => class.name()).set(left as f64);
        }
        Ok(())
    }
}

/// Of the loop's every turn, a fifth at most.
const TURN: Duration = Duration::from_millis(50);
/// After a walk that went through.
const REST: Duration = Duration::from_secs(86_400);
/// After something that went wrong.
const PAUSE: Duration = Duration::from_secs(30);
