//! The only place of this program that reads the environment, but for the cache folder and colours
//! ([`smog_terminal::environment`]).

use std::path::PathBuf;
use std::process::Command;

/// How OpenMP threads wait for work.
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
/// libgomp's finer word for the same: how many turns they wait before they sleep.
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";
/// Turns of the waiting loop before a thread sleeps: some microseconds, which is about the time between two operations
/// of a small network. On two cores that do nothing else, a step was 1.2 times as fast as without spinning; with a
/// third busy thread beside, 0.94 times, and with ten times as many turns 0.56 times.
const SPINS: &str = "1000";

/// Makes libtorch's OpenMP threads sleep soon while they wait, unless the user said how they should wait.
///
/// By default they spin for long, and so take the cores from the decode workers: training steps on two shared cores
/// were five times slower. The library reads its settings when it is loaded, before `main`, so the program
/// replaces itself once with the setting in place; arguments and process number stay. Call it first.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn let_waiting_threads_sleep() {
    use std::os::unix::process::CommandExt;

    if [WAIT_POLICY, SPIN_COUNT].iter().any(|name| std::env::var(name).is_ok()) {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut args = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        let error = command.args(args).env(SPIN_COUNT, SPINS).exec();
        tracing::warn!(%error, "cannot set {SPIN_COUNT}; decoding may be slow on few cores");
    }
}

/// `SMOG_LIBTORCH_CUDA`: the file, or the folder of the file, that libtorch's CUDA half is taken from.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn libtorch_cuda() -> Option<PathBuf> {
    std::env::var("SMOG_LIBTORCH_CUDA").ok().filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `CUDA_VISIBLE_DEVICES`, by which CUDA numbers its devices.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub(crate) fn visible_gpus() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}
