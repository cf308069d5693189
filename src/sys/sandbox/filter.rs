//! The system call filter: what is not on the worker's list does not exist for it, and what only an
//! intruder would call ends the process.
//!
//! Two programs in a row, of which the kernel obeys the stricter. Unlisted calls fail with ENOSYS, as on a
//! kernel that lacks them: that is the one error that makes a newer C library fall back on what is listed.
//! Installed while the worker has one thread, before its first key arrives; all later threads inherit it.
use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, BpfProgramRef, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::calls::{ALWAYS, ALWAYS_HERE, Call, DEADLY, DEADLY_HERE, DEADLY_IF, Duty, IF_RIGHT, Is, Test};

/// Why the filter is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("could not build the system call filter: {0}")]
    Build(#[from] seccompiler::BackendError),
    #[error("could not install the system call filter: {0}")]
    Install(#[from] seccompiler::Error),
}

/// Filters what every thread of this process may ask of the kernel, for good.
pub fn filter_calls(duties: &[Duty]) -> Result<(), FilterError> {
    Programs::build(duties)?.install(seccompiler::apply_filter_all_threads)?;
    Ok(())
}

struct Programs {
    deadly: BpfProgram,
    listed: BpfProgram,
}

impl Programs {
    fn build(duties: &[Duty]) -> Result<Self, FilterError> {
        let mut deadly = Rules::new();
        DEADLY.iter().chain(DEADLY_HERE).for_each(|call| always(&mut deadly, *call));
        DEADLY_IF.iter().try_for_each(|call| sometimes(&mut deadly, call))?;

        let mut listed = Rules::new();
        IF_RIGHT.iter().try_for_each(|call| sometimes(&mut listed, call))?;
        for call in duties.iter().flat_map(|duty| duty.calls()) {
            sometimes(&mut listed, call)?;
        }
        ALWAYS.iter().chain(ALWAYS_HERE).for_each(|call| always(&mut listed, *call));
        let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        Ok(Self {
            deadly: compile(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?,
            listed: compile(listed, missing, SeccompAction::Allow)?,
        })
    }

    fn install(
        &self,
        apply: fn(BpfProgramRef<'_>) -> Result<(), seccompiler::Error>,
    ) -> Result<(), seccompiler::Error> {
        apply(&self.deadly)?;
        apply(&self.listed)
    }
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// A call without rules matches whatever its arguments.
fn always(rules: &mut Rules, call: c_long) {
    rules.insert(call, Vec::new());
}

fn sometimes(rules: &mut Rules, (call, tests): &Call) -> Result<(), FilterError> {
    match tests.is_empty() {
        true => always(rules, *call),
        false => {
            let conditions = tests.iter().map(condition).collect::<Result<_, _>>()?;
            rules.entry(*call).or_default().push(SeccompRule::new(conditions)?);
        }
    }
    Ok(())
}

fn condition(test: &Test) -> Result<SeccompCondition, seccompiler::BackendError> {
    let int = |value: libc::c_int| u64::from(value.cast_unsigned());
    let (length, operator, value) = match test.is {
        Is::Int(value) => (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, int(value)),
        Is::NotInt(value) => (SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, int(value)),
        Is::With(bits) => (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(int(bits)), int(bits)),
        Is::Without(bits) => (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(int(bits)), 0),
        Is::Null => (SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0),
        Is::OwnPid => (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(std::process::id())),
    };
    SeccompCondition::new(test.argument, length, operator, value)
}

fn compile(rules: Rules, otherwise: SeccompAction, on_match: SeccompAction) -> Result<BpfProgram, FilterError> {
    let here = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, on_match, here)?.try_into()?)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
