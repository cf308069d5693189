//! `hotline-scribe`: started by `hotline serve`, never by hand.
use std::panic;
use std::process;

use hotline::lifecycle::ExitCode;
use hotline::wire::Role;
use hotline::worker;

fn main() -> process::ExitCode {
    let entered = worker::enter(Role::Scribe);
    abort_on_panic();
    match hotline_scribe::run(entered) {
        Ok(()) => ExitCode::Clean.into(),
        Err(error) => {
            tracing::error!(%error, "could not start");
            error.exit_code().into()
        }
    }
}

/// A half-finished turn is not worth saving: the log recovers, and workers send again.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// In a process of its own: this test once more, told to panic on a thread that nobody waits for.
    #[test]
    #[allow(clippy::disallowed_methods)] // a test starts itself
    fn a_panic_on_any_thread_ends_the_scribe() {
        if std::env::var_os(ON_PURPOSE).is_some() {
            abort_on_panic();
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
            process::exit(0);
        }
        let output = process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::a_panic_on_any_thread_ends_the_scribe", "--nocapture"])
            .env(ON_PURPOSE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("on purpose"), "{told}");
        assert_eq!(output.status.signal(), Some(SIGABRT), "{told}");
    }

    const ON_PURPOSE: &str = "HOTLINE_TEST_PANICS";
    const SIGABRT: i32 = 6;
}
