//! A proxy between client and server that does to answers what a test says.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Bytes that are changed to zeros.
const ZEROS: usize = 64;

/// What happens to the answer of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The server is not asked; this status is the answer.
    Status(u16),
    /// The connection ends in the middle of the body.
    Cut,
    /// A byte in the middle of the body is changed.
    Flip,
    /// The first bytes of the body are zeros.
    Zero,
    /// The connection ends before the server is asked.
    Drop,
    /// Nothing comes for as long as the proxy lives.
    Stall,
}

/// A request as the rule sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Counts from 0 over all requests.
    pub(crate) number: u64,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Request {
    /// Whether it reads a part of a shard.
    pub(crate) fn reads_shard(&self) -> bool {
        self.method == "GET" && self.target.contains(".parquet")
    }
}

type Rule = Box<dyn Fn(&Request) -> Fault + Send + Sync>;

struct Shared {
    server: SocketAddr,
    rule: Mutex<Arc<Rule>>,
    latency: Mutex<Duration>,
    log: Mutex<Vec<Request>>,
    requests: AtomicU64,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
    stopped: AtomicBool,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let rule: Rule = Box::new(|_| Fault::None);
        let shared = Arc::new(Shared {
            server,
            rule: Mutex::new(Arc::new(rule)),
            latency: Mutex::default(),
            log: Mutex::default(),
            requests: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            most_under_way: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        start_thread(move || {
            for client in listener.incoming().flatten() {
                if accepting.stopped.load(SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // An error is a connection that somebody closed.
                start_thread(move || drop(shared.connection(client)));
            }
        });
        Self { address, shared }
    }

    /// What happens from now on.
    pub(crate) fn rule(&self, rule: impl Fn(&Request) -> Fault + Send + Sync + 'static) {
        *self.shared.rule.lock().expect("no panic") = Arc::new(Box::new(rule));
    }

    /// How long each answer takes from now on.
    pub(crate) fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().expect("no panic") = latency;
    }

    /// Requests since the last call.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.log.lock().expect("no panic"))
    }

    /// Most requests that were under way at the same time.
    pub(crate) fn most_under_way(&self) -> u64 {
        self.shared.most_under_way.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn start_thread(body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name("proxy".to_owned()).spawn(body).expect("a thread");
}

impl Shared {
    /// One request; the connection is closed after it.
    fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        let (head, body) = read_message(&mut BufReader::new(client.try_clone()?))?;
        let mut words = head.split(' ');
        let request = Request {
            number: self.requests.fetch_add(1, SeqCst),
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().to_owned(),
        };
        self.log.lock().expect("no panic").push(request.clone());
        let now = self.under_way.fetch_add(1, SeqCst) + 1;
        self.most_under_way.fetch_max(now, SeqCst);
        let result = self.answer(&request, &head, &body, &mut client);
        self.under_way.fetch_sub(1, SeqCst);
        result
    }

    fn answer(
        &self,
        request: &Request,
        head: &str,
        body: &[u8],
        client: &mut TcpStream,
    ) -> io::Result<()> {
        let rule = Arc::clone(&self.rule.lock().expect("no panic"));
        let latency = *self.latency.lock().expect("no panic");
        thread::sleep(latency);
        let fault = rule(request);
        match fault {
            Fault::Status(status) => {
                let answer = format!(
                    "HTTP/1.1 {status} Injected\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                return client.write_all(answer.as_bytes());
            }
            Fault::Drop => return Ok(()),
            Fault::Stall => {
                while !self.stopped.load(SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                return Ok(());
            }
            _ => {}
        }
        let mut server = TcpStream::connect(self.server)?;
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(head.as_bytes())?;
        server.write_all(body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let body_at = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
        let middle = body_at + (answer.len() - body_at) / 2;
        match fault {
            Fault::Cut => answer.truncate(middle),
            Fault::Flip if body_at < answer.len() => answer[middle] ^= 0x40,
            Fault::Zero => answer[body_at..].iter_mut().take(ZEROS).for_each(|byte| *byte = 0),
            _ => {}
        }
        client.write_all(&answer)
    }
}

/// Head and body of a request.
fn read_message(stream: &mut impl io::BufRead) -> io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}
