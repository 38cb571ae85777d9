//! moto's server on the loopback, and a way to it that can be slowed down and blocked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that pass a gate in one go.
const BITE: usize = 64 << 10;

/// moto's server on the loopback. Ends with this.
pub struct Server {
    process: Child,
    /// Where it answers.
    pub endpoint: String,
}

impl Server {
    /// Starts it and waits until it has made the bucket `parcels`.
    pub fn start() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let interpreter = project.join(".cache/venv/bin/python");
        assert!(
            interpreter.exists(),
            "no Python environment in .cache/venv: run ./test setup first"
        );
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(interpreter)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, endpoint: format!("http://{address}") };
        let end = Instant::now() + PATIENCE;
        while request(&server.endpoint, "PUT", "/parcels").is_none_or(|status| status != 200) {
            assert!(Instant::now() < end, "moto's server does not answer: see ./test setup");
            thread::sleep(Duration::from_millis(100));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status of a request without a body.
pub fn request(endpoint: &str, method: &str, path: &str) -> Option<u16> {
    let address = endpoint.strip_prefix("http://")?;
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request\r\n\r\n"
    )
    .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

/// What of the server's answers passes a gate.
#[derive(Clone, Copy, Debug)]
enum Flow {
    /// All of it.
    Free,
    /// So many bytes, on all connections together.
    Bytes(usize),
    /// All of it, a bite and then a pause.
    Slow(Duration),
}

#[derive(Debug)]
struct Valve {
    flow: Mutex<Flow>,
    changed: Condvar,
}

/// A way to a server. What is asked always gets there; of the answers passes what is let through, and
/// the rest waits for ever.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Where it takes connections.
    pub endpoint: String,
    valve: Arc<Valve>,
}

impl Gate {
    /// All passes at first.
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let valve = Arc::new(Valve { flow: Mutex::new(Flow::Free), changed: Condvar::new() });
        let (to, through) = (server.endpoint.clone(), valve.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(to.trim_start_matches("http://")) else {
                    continue;
                };
                let (asks, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || asked(asks, server));
                let valve = through.clone();
                thread::spawn(move || valve.answered(answers, client));
            }
        });
        Self { endpoint, valve }
    }

    /// From now on all passes, also what waits.
    #[allow(dead_code, reason = "for tests/kafka")]
    pub fn open(&self) {
        self.set(Flow::Free);
    }

    /// From now on nothing passes.
    #[allow(dead_code, reason = "for tests/kafka")]
    pub fn block(&self) {
        self.set(Flow::Bytes(0));
    }

    /// So many bytes pass, and then nothing more.
    #[allow(dead_code, reason = "for tests/snapshots")]
    pub fn block_after(&self, bytes: usize) {
        self.set(Flow::Bytes(bytes));
    }

    /// At most so many bytes a second pass.
    #[allow(dead_code, reason = "for tests/snapshots")]
    pub fn slow_down(&self, bytes_per_second: usize) {
        self.set(Flow::Slow(Duration::from_secs_f64(BITE as f64 / bytes_per_second as f64)));
    }

    fn set(&self, flow: Flow) {
        *self.valve.flow.lock().unwrap() = flow;
        self.valve.changed.notify_all();
    }
}

fn asked(mut client: TcpStream, mut server: TcpStream) {
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

impl Valve {
    fn answered(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut bite = vec![0; BITE];
        while let Ok(read @ 1..) = server.read(&mut bite) {
            let mut passed = 0;
            while passed < read {
                let next = self.lets_through(read - passed);
                if client.write_all(&bite[passed..passed + next]).is_err() {
                    return;
                }
                passed += next;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
    }

    /// How many of so many bytes may pass now; waits until any may.
    fn lets_through(&self, bytes: usize) -> usize {
        let mut flow = self.flow.lock().unwrap();
        loop {
            match &mut *flow {
                Flow::Free => return bytes,
                Flow::Bytes(0) => flow = self.changed.wait(flow).unwrap(),
                Flow::Bytes(left) => {
                    let next = bytes.min(*left);
                    *left -= next;
                    return next;
                }
                Flow::Slow(pause) => {
                    let pause = *pause;
                    drop(flow);
                    // The slow line itself; nothing is waited for.
                    thread::sleep(pause);
                    return bytes;
                }
            }
        }
    }
}
