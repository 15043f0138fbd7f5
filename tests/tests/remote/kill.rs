//! Uploads whose process is killed: SIGKILL at write requests from the first to the last, before the store sees the
//! request and after it has done it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::{env, thread, time::Duration};

use smog_pipeline::manifest::Manifest;
use smog_pipeline::remote::RemoteUrl;
use smog_pipeline::shard::{ShardOptions, shard};
use smog_pipeline::source::ParquetSource;
use smog_tests::watch::watched;

use crate::proxy::{Fault, Request};
use crate::server::{Server, options_at, shard_options, write_images};

const SIGKILL: i32 = 9;
/// Every so many write requests a process is killed.
const STEP: usize = 3;

fn writes(request: &Request) -> bool {
    !matches!(request.method.as_str(), "GET" | "HEAD")
}

fn upload_options(address: &str, stage: PathBuf) -> ShardOptions {
    ShardOptions { stage: Some(stage), remote: options_at(address), ..shard_options() }
}

/// What `smog-tools shard SRC --out URL --stage DIR` does, in a process that may be killed.
#[test]
#[ignore = "the process that the test of killed uploads starts"]
#[expect(clippy::disallowed_methods, reason = "how the test tells its process what to do")]
fn child() {
    let variable = |name| env::var(name).ok();
    let (Some(src), Some(stage), Some(out), Some(address)) = (
        variable("SMOG_KILL_SRC"),
        variable("SMOG_KILL_STAGE"),
        variable("SMOG_KILL_OUT"),
        variable("SMOG_KILL_STORE"),
    ) else {
        println!("SKIPPED: it does nothing by itself");
        return;
    };
    let options = upload_options(&address, stage.into());
    shard(Path::new(&src), Path::new(&out), &options, &()).expect("it is uploaded");
}

struct Killed {
    server: Server,
    dir: tempfile::TempDir,
}

impl Killed {
    fn src(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    fn start(&self, out: &RemoteUrl) -> Child {
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "kill::child", "--ignored"])
            .env("SMOG_KILL_SRC", self.src())
            .env("SMOG_KILL_STAGE", self.dir.path().join("stage").join(out.name()))
            .env("SMOG_KILL_OUT", out.to_string())
            .env("SMOG_KILL_STORE", self.server.proxy.address.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    /// Runs an upload until its write request `moment`; gives whether it came so far.
    fn run_until(&self, out: &RemoteUrl, moment: usize, fault: Fault) -> bool {
        let running: Arc<Mutex<Option<Child>>> = Arc::default();
        let seen = AtomicUsize::new(0);
        let victim = Arc::clone(&running);
        self.server.proxy.rule(move |request| {
            if !writes(request) || seen.fetch_add(1, SeqCst) != moment {
                return Fault::None;
            }
            if let Some(child) = victim.lock().expect("no panic").as_mut() {
                child.kill().expect("it runs");
            }
            fault
        });
        let mut lock = running.lock().expect("no panic");
        *lock = Some(self.start(out));
        drop(lock);
        loop {
            let ended = running.lock().expect("no panic").as_mut().map(Child::try_wait);
            if let Some(status) = ended.expect("it was started").expect("it can be waited for") {
                self.server.proxy.rule(|_| Fault::None);
                assert!(status.success() || status.signal() == Some(SIGKILL), "{status}");
                return !status.success();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn objects(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    found
}

#[test]
fn a_killed_upload_never_passes_for_a_data_set_and_goes_on_to_the_same_bytes() {
    watched(|| {
        let dir = tempfile::tempdir().expect("a folder");
        write_images(&dir.path().join("images"), 60);
        let killed = Killed { server: Server::start(true), dir };
        let local_dir = killed.dir.path().join("local");
        shard(&killed.src(), &local_dir, &shard_options(), &()).expect("shards");
        let local = Manifest::read(&local_dir.join("train")).expect("a manifest");
        let expected: Vec<Vec<u8>> = local
            .shards
            .iter()
            .map(|shard| fs::read(local_dir.join("train").join(&shard.file)).expect("a shard"))
            .collect();
        assert!(expected.len() >= 3);

        let (mut moment, mut unfinished, mut finished) = (0, 0, 0);
        loop {
            let fault = if moment % 2 == 0 { Fault::Drop } else { Fault::None };
            let name = format!("killed-{moment}");
            let out = killed.server.url(&name);
            if !killed.run_until(&out, moment, fault) {
                break;
            }
            let train = killed.server.bucket().join(&name).join("train");
            let options = options_at(&killed.server.proxy.address.to_string());
            let opened = ParquetSource::open_remote(&out.join("train"), &options);
            match Manifest::read(&train) {
                Ok(manifest) => {
                    finished += 1;
                    opened.expect("it opens");
                    for (shard, expected) in manifest.shards.iter().zip(&expected) {
                        assert_eq!(
                            &fs::read(train.join(&shard.file)).expect("it is there"),
                            expected
                        );
                    }
                }
                Err(_) => {
                    unfinished += 1;
                    let error = opened.err().expect("there is no data set").to_string();
                    assert!(error.contains("manifest.json is not there"), "{error}");
                }
            }
            // Another machine, which knows nothing but the store.
            let stage = killed.dir.path().join("other").join(&name);
            let address = killed.server.proxy.address.to_string();
            let options = upload_options(&address, stage);
            shard(&killed.src(), &out.to_path(), &options, &()).expect("it goes on");
            let manifest = Manifest::read(&train).expect("a manifest");
            assert_eq!(manifest.digest, local.digest, "killed at write {moment}");
            let found: Vec<Vec<u8>> = manifest
                .shards
                .iter()
                .map(|shard| fs::read(train.join(&shard.file)).expect("a shard"))
                .collect();
            assert!(found == expected, "killed at write {moment}");
            assert_eq!(objects(&train, ".parquet").len(), expected.len());
            moment += STEP;
        }
        println!("killed before the manifest: {unfinished}, after: {finished}");
        assert!(unfinished >= 4 && finished >= 1, "{unfinished} and {finished}");
    });
}
