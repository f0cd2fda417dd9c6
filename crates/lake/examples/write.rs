//! Writes flow files to a dataset and says how long it took: for measuring.
//!
//! `write DATASET THREADS ROWS yes|no FILE...`: rows of a row group, whether addresses are text, too.

use lake::dataset::Dataset;
use lake::write::{Event, Naming, WriteOptions, write_all};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("which DATASET THREADS ROWS yes|no FILE...?");
    let dataset = Dataset::create(&PathBuf::from(next()?))?;
    let threads = next()?.parse()?;
    let row_group = next()?.parse()?;
    let has_text = next()? == "yes";
    let files: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let options = WriteOptions { row_group, has_text, ..WriteOptions::default() };
    let each = |path: &std::path::Path, event: &Event| {
        if let Event::Failed(e) = event {
            eprintln!("{}: {e}", path.display());
        }
    };
    let start = sys::clock::monotonic();
    let stop = AtomicBool::new(false);
    let made =
        write_all(&dataset, &files, (&options, &Naming::default()), (threads, &stop), &each)?;
    let (secs, used) = (start.elapsed().as_secs_f64(), sys::clock::used());
    let rows = made.rows as f64;
    println!(
        "{} rows, {:.1} octets each, {secs:.2} s, {:.2} M rows/s, user {:.2} s, system {:.2} s, {} MiB",
        made.rows,
        made.size as f64 / rows,
        rows / secs / 1e6,
        used.user.as_secs_f64(),
        used.system.as_secs_f64(),
        used.peak_memory >> 20,
    );
    Ok(())
}
