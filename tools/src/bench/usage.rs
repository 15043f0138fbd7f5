//! What the system counted for this process: processor time by thread name, and memory.

use std::fs;

/// Processor seconds of the living threads whose name begins with `prefix`.
pub(super) fn thread_cpu_seconds(prefix: &str) -> f64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0.0 };
    let mut nanos = 0u64;
    for task in tasks.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.trim_end().starts_with(prefix) {
            let counted = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first =
                counted.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
            nanos += first.unwrap_or(0);
        }
    }
    nanos as f64 * 1e-9
}

/// Makes [`peak_bytes`] count from now on, where the system lets us.
pub(super) fn reset_peak() {
    // Without it the peak is that of the whole run, which is no worse than an upper bound.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Most resident memory in bytes.
pub(super) fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib =
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
