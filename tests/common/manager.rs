//! What hears a service, as systemd does.

use super::Scene;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Hears what collectors tell their service manager, and lets go of what they leave with it.
pub struct Manager {
    /// Where it listens: `NOTIFY_SOCKET` of a service.
    pub path: PathBuf,
    said: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    /// Begins to listen.
    pub fn start(scene: &Scene) -> Self {
        let path = scene.path("notify");
        let socket = UnixDatagram::bind(&path).expect("bind");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        // Without room for them descriptors are closed. It ends with the test.
        std::thread::spawn(move || {
            let mut text = [0; 1024];
            while let Ok(len) = socket.recv(&mut text) {
                let line = String::from_utf8_lossy(&text[..len]).into_owned();
                heard.lock().expect("whole").push(line);
            }
        });
        Self { path, said }
    }

    /// What was said that begins like this.
    pub fn heard(&self, start: &str) -> Vec<String> {
        let said = self.said.lock().expect("whole");
        said.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }
}
