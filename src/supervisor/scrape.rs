//! Gathers every worker's metrics, bounded in time, into one page.
use std::time::Instant;

use hotline::telemetry::names;
use hotline::wire::ToWorker;

use super::Supervisor;
use super::page::{SCRAPE_APART, SCRAPE_EVERY, SCRAPE_WITHIN, Scrape};

impl Supervisor {
    /// A visitor wants the page: joins the scrape under way, or the next one.
    pub(super) fn scrape_for(&mut self, visitor: u64, now: Instant) {
        match &mut self.page.scrape {
            Some(scrape) => scrape.clients.push(visitor),
            None => self.page.waiting.push(visitor),
        }
        self.scrape_if_wanted(now);
    }

    fn scrape_if_wanted(&mut self, now: Instant) {
        if !self.page.waiting.is_empty() && now.saturating_duration_since(self.page.scraped_at) >= SCRAPE_APART {
            self.begin_scrape(now);
        }
    }

    /// Ends a scrape that is complete or late; begins one when the last is old.
    pub(super) fn scrape_on_time(&mut self, now: Instant) {
        let over = |scrape: &Scrape| scrape.owed.is_empty() || now >= scrape.until;
        if self.page.scrape.as_ref().is_some_and(over)
            && let Some(scrape) = self.page.scrape.take()
        {
            metrics::counter!(names::SCRAPES_LATE).increment(scrape.owed.len() as u64);
            if !scrape.clients.is_empty() {
                let page = self.render(now);
                self.page.reply(&scrape.clients, &page);
            }
        }
        self.scrape_if_wanted(now);
        if !self.is_gathering() && now.saturating_duration_since(self.page.scraped_at) >= SCRAPE_EVERY {
            self.begin_scrape(now);
            self.recorder.upkeep();
        }
    }

    /// A worker answered, or is gone.
    pub(super) fn no_longer_owed(&mut self, cell: u16) {
        if let Some(scrape) = &mut self.page.scrape {
            scrape.owed.remove(&cell);
        }
    }

    fn begin_scrape(&mut self, now: Instant) {
        if self.page.scrape.is_some() {
            return;
        }
        self.page.scrapes += 1;
        self.page.scraped_at = now;
        let id = self.page.scrapes;
        let everybody = self.slots.iter_mut().flat_map(|slot| &mut slot.processes);
        let owed = everybody
            .filter_map(|process| {
                let asked = process.link.is_welcomed() && process.link.send(&ToWorker::Scrape { scrape_id: id });
                asked.then_some(process.slot.cell)
            })
            .collect();
        self.page.scrape =
            Some(Scrape { id, owed, until: now + SCRAPE_WITHIN, clients: std::mem::take(&mut self.page.waiting) });
    }

    fn render(&mut self, now: Instant) -> String {
        for slot in &mut self.slots {
            let name = slot.name();
            let up = f64::from(u8::from(slot.life.is_serving()));
            metrics::gauge!(names::WORKER_UP, "slot" => name.clone()).set(up);
            // A series that is there from the start shows the first crash as an increase.
            metrics::counter!(names::WORKER_RESTARTS, "slot" => name.clone(), "reason" => "none").increment(0);
            let age = slot.resident_mut().map(|process| process.beat_age(&self.board, now));
            metrics::gauge!(names::HEARTBEAT_AGE_SECONDS, "slot" => name).set(age.unwrap_or_default().as_secs_f64());
        }
        metrics::gauge!(names::UPTIME_SECONDS).set(self.started.elapsed().as_secs_f64());
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        metrics::gauge!(names::OPEN_FDS).set(open as f64);
        self.merged.render(&self.recorder.snapshot())
    }
}
