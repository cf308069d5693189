//! Watches over an attempt while it runs: keeps its lease, tells how far it is, and notices what must
//! stop it.
use std::time::{Duration, Instant};

use hotline_domain::calls::HeldCall;
use hotline_domain::store::CallState;
use tokio::sync::watch;
use tokio::time::interval;

use super::life::Rooms;
use super::stop::Stop;
use super::told;
use crate::speech;

/// Returns when the work must stop.
pub(super) async fn watch_over(
    rooms: &Rooms,
    held: &HeldCall,
    leash: &speech::Job,
    mut leaving: watch::Receiver<Option<u64>>,
) -> Stop {
    let renew_every = Duration::from_secs(rooms.config.speech.lease_seconds) / 3;
    let mut ticks = interval(PROGRESS_EVERY);
    let (mut renewed, mut moved) = (Instant::now(), Instant::now());
    let (mut told, mut seen) = (0, 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = leaving.wait_for(Option::is_some) => return Stop::Leaving,
        }
        if renewed.elapsed() >= renew_every {
            match rooms.domain.calls.renew(&held.lease).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return Stop::Lost,
                Err(error) => tracing::warn!(%error, "could not renew a lease; trying again"),
            }
        }
        let heard = leash.percent();
        if heard > seen {
            (seen, moved) = (heard, Instant::now());
        } else if moved.elapsed() >= rooms.standstill_max {
            return Stop::StandsStill;
        }
        // The engine's own hundred is most, not all, of the way.
        let percent = u8::try_from(u32::from(heard) * u32::from(ANALYSING_PERCENT) / 100).unwrap_or(0);
        // Once all is heard, the work itself moves the call on.
        if percent >= told + STEP_PERCENT && percent < ANALYSING_PERCENT {
            told = percent;
            let call = held.call.call_id;
            match rooms.domain.calls.progress(call, CallState::Transcribing, percent).await {
                Ok(true) => (rooms.publish)(told::moved(call, CallState::Transcribing, percent)),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "could not note how far a call is"),
            }
        }
    }
}

/// How far a call is when all of it has been heard.
pub(super) const ANALYSING_PERCENT: u8 = 90;
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const STEP_PERCENT: u8 = 5;
