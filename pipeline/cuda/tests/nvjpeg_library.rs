//! The trampolines with the real libnvjpeg and without one. Each case is a process of its own, since a process opens
//! the library once. `scripts/setup` fetches the library and sets `SMOG_TEST_NVJPEG`.
#![expect(clippy::print_stdout, reason = "a skipped test says why")]
#![expect(clippy::disallowed_methods, reason = "the cases are told apart by the environment")]
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use smog_cuda::CudaError;
use smog_cuda::nvjpeg::Nvjpeg;

const CASE: &str = "SMOG_CUDA_TEST_CASE";

/// The library that `scripts/setup` fetched.
fn library() -> Option<PathBuf> {
    let path = std::env::var_os("SMOG_TEST_NVJPEG").map(PathBuf::from);
    let found = path.as_ref().is_some_and(|path| path.is_file());
    if !found {
        println!(
            "SKIPPED: SMOG_TEST_NVJPEG = {path:?} is no file, so the real libnvjpeg was NOT tried;"
        );
        println!("SKIPPED: call scripts/setup");
    }
    path.filter(|_| found)
}

/// Runs `test` of this file again as a process with these variables.
fn child(test: &str, case: &str, nvjpeg: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CASE, case).env("SMOG_NVJPEG", nvjpeg).output().unwrap()
}

fn assert_passes(output: &Output) {
    let text = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn the_real_library_answers_and_says_its_version() {
    if std::env::var(CASE).is_err() {
        let Some(path) = library() else { return };
        return assert_passes(&child("the_real_library_answers_and_says_its_version", "1", &path));
    }
    let threads: Vec<_> =
        (0..8).map(|_| std::thread::Builder::new().spawn(load).unwrap()).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().major, 13);
    }
}

fn load() -> smog_cuda::nvjpeg::Version {
    Nvjpeg::load(&[]).unwrap().version()
}

#[test]
fn the_real_library_without_a_driver_is_an_error_in_words() {
    let name = "the_real_library_without_a_driver_is_an_error_in_words";
    if std::env::var(CASE).is_err() {
        let Some(path) = library() else { return };
        return assert_passes(&child(name, "1", &path));
    }
    let nvjpeg = Nvjpeg::load(&[]).unwrap();
    match nvjpeg.check_device() {
        Ok(()) => println!("SKIPPED: there is a GPU, so its absence was NOT tried"),
        Err(error) => {
            assert!(matches!(error, CudaError::Nvjpeg { status: 6, .. }), "{error:?}");
            assert!(!error.is_missing(), "the library is there");
            assert_eq!(
                error.to_string(),
                "nvJPEG: nvjpegCreateEx, which needs a GPU and a driver at least as new as this library, failed with \
                 NVJPEG_STATUS_EXECUTION_FAILED (6)"
            );
        }
    }
}

#[test]
fn a_library_that_is_not_there_is_an_error_that_says_how_to_go_on() {
    let name = "a_library_that_is_not_there_is_an_error_that_says_how_to_go_on";
    if std::env::var(CASE).is_err() {
        return assert_passes(&child(name, "1", Path::new("/nowhere/libnvjpeg.so.13")));
    }
    // A function that is called all the same gives a status and does not crash.
    let mut value = 0;
    // SAFETY: the function writes one integer if any.
    let status = unsafe { nvjpeg_sys::nvjpegGetProperty(0, &raw mut value) };
    assert_eq!(status, nvjpeg_sys::nvjpegStatus_t_NVJPEG_STATUS_NOT_INITIALIZED);
    let error = Nvjpeg::load(&[]).unwrap_err();
    assert!(error.is_missing());
    let text = error.to_string();
    let begin =
        "libnvjpeg.so.13 not found (tried /nowhere/libnvjpeg.so.13): /nowhere/libnvjpeg.so.13:";
    assert!(text.starts_with(begin), "{text}");
    assert!(text.ends_with("go on with renderer = \"cpu\""), "{text}");
}

#[test]
fn a_library_of_another_kind_is_refused() {
    let name = "a_library_of_another_kind_is_refused";
    if std::env::var(CASE).is_err() {
        return assert_passes(&child(name, "1", Path::new("libm.so.6")));
    }
    let error = Nvjpeg::load(&[]).unwrap_err();
    assert!(
        matches!(&error, CudaError::LibraryMissing { problem, .. } if problem.contains("no function"))
    );
}

#[test]
fn a_file_that_is_offered_serves_where_none_is_installed() {
    let name = "a_file_that_is_offered_serves_where_none_is_installed";
    let Some(path) = library() else { return };
    if std::env::var(CASE).is_err() {
        return assert_passes(&child(name, "1", Path::new("")));
    }
    if Nvjpeg::load(&[]).is_ok() {
        println!("SKIPPED: this machine has a libnvjpeg, so the offered one was NOT tried");
        return;
    }
    // A failure before is forgotten when there is something new to try.
    let missing = PathBuf::from("/nowhere/libnvjpeg.so.13");
    assert!(Nvjpeg::load(std::slice::from_ref(&missing)).is_err());
    let folder = path.parent().unwrap().to_owned();
    assert_eq!(Nvjpeg::load(&[missing, folder]).unwrap().version().major, 13);
}

#[test]
fn the_trampolines_are_those_of_the_crate_that_is_linked() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("nvjpeg/generate.py");
    let output = Command::new("python3").arg(script).arg("--check").output();
    let Ok(output) = output else {
        println!("SKIPPED: there is no python3, so trampolines.c was NOT compared");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
