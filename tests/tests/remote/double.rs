//! Our own stand-in for Azure Blob Storage and for Google Cloud Storage: the few requests that reading and
//! `shard --out` send, each checked for what the store's documentation demands of it. No emulator and no store.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Which store is stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Azure,
    Google,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Parts of uploads by path and by block or part.
    parts: BTreeMap<(String, String), Vec<u8>>,
    /// What was wrong with requests.
    complaints: Vec<String>,
    /// Methods and queries that came, for counting.
    log: Vec<String>,
}

impl State {
    /// Puts the parts together that a list names, each behind `mark`.
    fn assemble(&mut self, path: String, mark: &str, list: &[u8]) {
        let list = String::from_utf8_lossy(list);
        let mut object = Vec::new();
        for item in list.split(mark).skip(1) {
            let name = item.split('<').next().unwrap_or_default().to_owned();
            let found = self.parts.remove(&(path.clone(), name));
            if found.is_none() {
                self.complaints.push(format!("{path}: a part that was not put: {item}"));
            }
            object.extend(found.unwrap_or_default());
        }
        self.objects.insert(path, object);
    }
}

/// The stand-in. Its threads end with the process.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Double {
    #[expect(clippy::disallowed_methods, reason = "threads of a test's server, not of the product")]
    pub(crate) fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // An error is a connection that was closed.
                thread::spawn(move || drop(connection(kind, &shared, client)));
            }
        });
        Self { address, state }
    }

    /// Names of the objects.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().expect("no panic").objects.keys().cloned().collect()
    }

    /// Requests of one kind so far.
    pub(crate) fn count(&self, what: &str) -> usize {
        let state = self.state.lock().expect("no panic");
        state.log.iter().filter(|line| line.starts_with(what)).count()
    }

    /// Panics if a request was not as it should be.
    pub(crate) fn assert_content(&self) {
        let state = self.state.lock().expect("no panic");
        assert!(state.complaints.is_empty(), "{:?}", state.complaints);
        assert!(!state.log.is_empty());
    }
}

fn connection(kind: Kind, state: &Mutex<State>, stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        let mut state = state.lock().expect("no panic");
        let (status, headers, body) = answer(kind, &mut state, &request);
        drop(state);
        let length = if request.method == "HEAD" {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        write!(stream, "HTTP/1.1 {status} Said\r\n{headers}{length}\r\n")?;
        stream.write_all(&body)?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    Ok(Some(Request { method, path: decoded(path), query, headers, body }))
}

/// Without percent encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.expect("two digits behind the percent sign").into());
        decoded.push_str(&part[2..]);
    }
    decoded
}

const STAMP: &str = "etag: \"1\"\r\nlast-modified: Tue, 24 Nov 2026 12:00:00 GMT\r\n";

type Answer = (u16, String, Vec<u8>);

fn answer(kind: Kind, state: &mut State, request: &Request) -> Answer {
    let query: Vec<&str> = request.query.keys().map(String::as_str).collect();
    state.log.push(format!("{} {}", request.method, query.join("&")));
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            state.complaints.push(format!("{} {}: {what}", request.method, request.path));
        }
    };
    let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
    if kind == Kind::Azure {
        expect(header("authorization").starts_with("SharedKey smogtest:"), "is not signed");
        expect(!header("x-ms-version").is_empty(), "has no x-ms-version");
        let dated = ["date", "x-ms-date"].iter().any(|name| !header(name).is_empty());
        expect(dated, "has no date");
    }
    let created = |body: &str| (201, STAMP.to_owned(), body.as_bytes().to_vec());
    let fine = |body: &str| (200, STAMP.to_owned(), body.as_bytes().to_vec());
    let path = request.path.clone();
    let part = |name: &str| (path.clone(), request.query.get(name).cloned().unwrap_or_default());
    match (kind, request.method.as_str(), query.as_slice()) {
        (_, "GET" | "HEAD", []) => read(state, request),
        (_, "DELETE", []) => match state.objects.remove(&path) {
            Some(_) => (if kind == Kind::Azure { 202 } else { 204 }, String::new(), Vec::new()),
            None => missing(),
        },
        (Kind::Azure, "PUT", []) => {
            expect(header("x-ms-blob-type") == "BlockBlob", "is not of type BlockBlob");
            state.objects.insert(path, request.body.clone());
            created("")
        }
        (Kind::Azure, "PUT", ["blockid", "comp"]) => {
            expect(request.query["comp"] == "block", "comp is not block");
            state.parts.insert(part("blockid"), request.body.clone());
            created("")
        }
        (Kind::Azure, "PUT", ["comp"]) => {
            expect(request.query["comp"] == "blocklist", "comp is not blocklist");
            state.assemble(path, "<Uncommitted>", &request.body);
            created("")
        }
        (Kind::Azure, "POST", ["comp", "restype"]) => {
            expect(request.query["comp"] == "batch", "comp is not batch");
            let list = String::from_utf8_lossy(&request.body).into_owned();
            let mut body = String::new();
            for (number, line) in list.lines().filter(|l| l.starts_with("DELETE ")).enumerate() {
                let target = line.split(' ').nth(1).unwrap_or_default();
                let name = decoded(target.split('?').next().unwrap_or_default());
                let done = state.objects.remove(&name).is_some();
                let status = if done { "202 Accepted" } else { "404 Not Found" };
                body += &format!(
                    "--b\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n\
                     HTTP/1.1 {status}\r\nx-ms-request-id: 1\r\n\r\n\r\n"
                );
            }
            body += "--b--\r\n";
            (202, "content-type: multipart/mixed; boundary=b\r\n".to_owned(), body.into_bytes())
        }
        (Kind::Google, "PUT", []) => {
            state.objects.insert(path, request.body.clone());
            fine("")
        }
        (Kind::Google, "POST", ["uploads"]) => fine(
            "<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>",
        ),
        (Kind::Google, "PUT", ["partNumber", "uploadId"]) => {
            expect(request.query["uploadId"] == "up", "is of no upload");
            state.parts.insert(part("partNumber"), request.body.clone());
            fine("")
        }
        (Kind::Google, "POST", ["uploadId"]) => {
            state.assemble(path, "<PartNumber>", &request.body);
            fine(
                "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>",
            )
        }
        _ => {
            state.complaints.push(format!(
                "{} {path}?{} is not known",
                request.method,
                query.join("&")
            ));
            (400, String::new(), Vec::new())
        }
    }
}

fn missing() -> Answer {
    (404, "x-ms-error-code: BlobNotFound\r\n".to_owned(), Vec::new())
}

fn read(state: &State, request: &Request) -> Answer {
    let Some(object) = state.objects.get(&request.path) else { return missing() };
    if request.method == "HEAD" {
        return (200, format!("{STAMP}content-length: {}\r\n", object.len()), Vec::new());
    }
    let range = request.headers.get("range").and_then(|range| {
        let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?.min(object.len() - 1)))
    });
    match range {
        Some((start, end)) => {
            let place = format!("content-range: bytes {start}-{end}/{}\r\n", object.len());
            (206, format!("{STAMP}{place}"), object[start..=end].to_vec())
        }
        None => (200, STAMP.to_owned(), object.clone()),
    }
}
