//! How a process ends, in a number both sides of exec understand.

/// Exit codes of all our executables (after sysexits.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Drained, or nothing to complain about.
    Clean = 0,
    /// Our mistake; started again with back-off.
    Bug = 70,
    /// Something outside is not there; started again with back-off.
    TryLater = 75,
    /// The configuration or the installation is wrong; starting again would not help.
    BadConfig = 78,
}

impl ExitCode {
    /// The meaning of a number that some process left with.
    pub fn of(code: i32) -> Option<Self> {
        [Self::Clean, Self::Bug, Self::TryLater, Self::BadConfig].into_iter().find(|known| *known as i32 == code)
    }

    /// Ends this process.
    pub fn exit(self) -> ! {
        std::process::exit(self as i32)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
