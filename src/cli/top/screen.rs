//! The terminal while the picture is live: taken over at the start and given back however this ends.
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use hotline::sys::{Signal, Signals};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use ratatui::DefaultTerminal;

use super::figures::Figures;
use super::page::Page;
use super::sample::Sample;

/// Until q, Ctrl-C, a signal, or the end of the terminal.
pub(super) fn show(run_dir: PathBuf, interval: Duration, first: Sample) -> anyhow::Result<()> {
    // Before the sampler's thread exists, so that it never takes one of them.
    let signals = Signals::take(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGWINCH])?;
    let samples = keep_sampling(run_dir, interval)?;
    // A panic gives the terminal back, too: the hook is set here.
    let terminal = ratatui::try_init()?;
    let _given_back = GivenBack;
    watch(terminal, &signals, &samples, first)
}

/// Gives the terminal back when dropped.
struct GivenBack;

impl Drop for GivenBack {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn watch(
    mut terminal: DefaultTerminal,
    signals: &Signals,
    samples: &Receiver<anyhow::Result<Sample>>,
    first: Sample,
) -> anyhow::Result<()> {
    let mut figures = Figures::between(None, &first);
    let mut newest = first;
    let mut trouble = None;
    let mut is_stale = true;
    loop {
        if is_stale {
            let page = Page { figures: &figures, trouble: trouble.as_deref() };
            terminal.draw(|frame| frame.render_widget(&page, frame.area()))?;
        }
        is_stale = false;
        match next_wish(signals)? {
            Some(Wish::Leave) => return Ok(()),
            Some(Wish::Redraw) => is_stale = true,
            None => {}
        }
        while let Ok(sampled) = samples.try_recv() {
            is_stale = true;
            match sampled {
                Ok(sample) => {
                    figures = Figures::between(Some(&newest), &sample);
                    (newest, trouble) = (sample, None);
                }
                // The service may be on its way back: the last picture stays, with the reason.
                Err(error) => trouble = Some(format!("{error:#}")),
            }
        }
    }
}

enum Wish {
    Leave,
    /// The window has another size.
    Redraw,
}

/// What the person or the system wants, if anything within a moment.
fn next_wish(signals: &Signals) -> io::Result<Option<Wish>> {
    let stdin = io::stdin();
    let ready = {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, MOMENT_MS) {
            Ok(_) | Err(Errno::EINTR) => fds.map(|fd| fd.any().unwrap_or(false)),
            Err(error) => return Err(error.into()),
        }
    };
    if ready[1] {
        let signal = signals.next()?;
        return Ok(signal.map(|signal| if signal == Signal::SIGWINCH { Wish::Redraw } else { Wish::Leave }));
    }
    if ready[0] {
        let mut typed = [0; 64];
        // Past the buffer of `Stdin`, in which a key could hide from the next poll.
        let count = nix::unistd::read(&stdin, &mut typed)?;
        // Nothing at all: the terminal is gone.
        if count == 0 || typed[..count].iter().any(|key| [b'q', b'Q', CTRL_C].contains(key)) {
            return Ok(Some(Wish::Leave));
        }
    }
    Ok(None)
}

/// On a thread of its own: a service that hangs must not keep anybody from leaving.
fn keep_sampling(run_dir: PathBuf, interval: Duration) -> io::Result<Receiver<anyhow::Result<Sample>>> {
    let (taken, samples) = sync_channel(1);
    thread::Builder::new().name("sampler".to_owned()).spawn(move || {
        loop {
            thread::sleep(interval);
            if taken.send(Sample::take(&run_dir)).is_err() {
                return;
            }
        }
    })?;
    Ok(samples)
}

/// How late a new sample is shown at most.
const MOMENT_MS: u8 = 50;
/// What the key sends while the terminal passes on everything.
const CTRL_C: u8 = 3;
