//! Files get their end and their name, and what is missing in them is written down.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use record::ExporterStats;
use store::loss::{Loss, Place as Where, Statement};
use store::recover::{Leftover, Taken, take_in};
use store::rotate::{Place, Published, Slot};
use store::{Closed, StoreError, Writer};

use super::{FilesConfig, FilesCounts};

/// Something to be done, in order.
pub(super) enum Job {
    /// A slot has ended.
    File(Box<Ended>),
    /// A crash has left this.
    TakeIn(Leftover),
}

/// What a slot leaves.
pub(super) struct Ended {
    /// Without a writer there is only something to be said.
    pub(super) writer: Option<Writer>,
    /// What is known of its flows, if it is to have an index.
    pub(super) survey: Option<Arc<index::Survey>>,
    pub(super) slot: Slot,
    /// Flows that were given to the writer.
    pub(super) flows: u64,
    pub(super) losses: Vec<Loss>,
}

/// The thread that does it.
pub(super) struct Finisher {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    books: Arc<Books>,
}

#[derive(Debug, Default)]
struct Books(Mutex<FilesCounts>);

impl Books {
    fn lock(&self) -> MutexGuard<'_, FilesCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finisher {
    pub(super) fn start(place: Place, config: &FilesConfig) -> io::Result<Self> {
        /// Files that wait for a slow disk before whoever writes waits, too.
        const WAITING: usize = 64;
        let (jobs, todo) = bounded(WAITING);
        let books = Arc::<Books>::default();
        let worker = Worker {
            place,
            ident: config.ident.clone(),
            exporter: config.exporter.sysid,
            index: config.index.clone(),
            books: Arc::clone(&books),
            unfinished: VecDeque::new(),
            statements: VecDeque::new(),
        };
        let thread = Builder::new().name("finish".to_owned()).spawn(move || worker.run(&todo))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), books })
    }

    pub(super) fn put(&mut self, job: Job) {
        let given = self.jobs.as_ref().map(|jobs| jobs.send(job));
        let Some(Err(e)) = given else { return };
        if let Job::File(ended) = e.into_inner() {
            self.books.lock().lost += ended.flows;
        }
        log::error!("files are not finished any more: their thread has ended");
        self.jobs = None;
    }

    pub(super) fn counts(&self) -> FilesCounts {
        *self.books.lock()
    }

    /// Waits until everything is done. Jobs that come later are not.
    pub(super) fn join(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that finishes files has panicked");
        }
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        self.join();
    }
}

struct Worker {
    place: Place,
    ident: String,
    exporter: u32,
    index: Option<Arc<index::Surveys>>,
    books: Arc<Books>,
    /// Closed or not, these have no name: tried again with the next file.
    unfinished: VecDeque<Unfinished>,
    /// Statements that could not be written: tried again likewise.
    statements: VecDeque<Statement>,
}

struct Unfinished {
    path: PathBuf,
    slot: Slot,
    /// Whose it is, if it was left by a crash.
    left: Option<Leftover>,
    statement: Statement,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.try_again();
            match job {
                Job::File(ended) => self.finish(*ended),
                Job::TakeIn(left) => {
                    let (path, slot) = (left.path.clone(), left.slot);
                    let statement = Statement::default();
                    self.end_of(Unfinished { path, slot, left: Some(left), statement }, true);
                }
            }
        }
        self.try_again();
        if let Some(Err(e)) = self.index.as_ref().map(|index| index.end()) {
            log::warn!("{e}");
        }
        for Unfinished { path, .. } in &self.unfinished {
            log::error!("{}: has no name yet: the next start tries again", path.display());
        }
        for lost in &self.statements {
            log::error!("{}: there is no statement of what is missing in it", lost.file);
        }
    }

    fn finish(&mut self, ended: Ended) {
        let Ended { writer, survey, slot, flows, losses } = ended;
        let mut statement = Statement {
            ident: self.ident.clone(),
            collector: std::process::id(),
            from: slot.start,
            until: slot.end(),
            losses,
            ..Statement::default()
        };
        let Some(writer) = writer else {
            statement.file = self.place.relative(None, slot);
            self.state(statement);
            return;
        };
        let path = writer.path().to_owned();
        match self.close(writer, flows, &mut statement) {
            Ok(closed) => {
                let file = Unfinished { path, slot, left: None, statement };
                self.name(file, survey.as_deref().map(|survey| (survey, &closed)));
            }
            Err(e) => {
                log::error!("{e}: what was written is tried again with the next file");
                self.put_off(Unfinished { path, slot, left: None, statement });
            }
        }
    }

    /// Gives a file its end.
    fn close(
        &self,
        mut writer: Writer,
        flows: u64,
        statement: &mut Statement,
    ) -> Result<Closed, StoreError> {
        // That a block failed is in the numbers.
        if let Err(e) = writer.settle() {
            log::error!("{e}: flows are lost");
        }
        let stored = writer.totals().all_flows();
        let lost = flows.saturating_sub(stored);
        statement.stored = stored;
        if lost > 0 {
            let (place, unit) = (Where::Disk, "flows".to_owned());
            let what = "Flows not written".to_owned();
            statement.losses.push(Loss { place, what, unit, count: lost, shared: false });
        }
        {
            let mut books = self.books.lock();
            books.lost = books.lost.saturating_add(lost);
            books.stored = books.stored.saturating_add(stored);
        }
        let stats = ExporterStats { sysid: self.exporter, flows: stored, ..Default::default() };
        writer.close(&[stats])
    }

    /// Gives a closed file its name.
    fn name(&mut self, file: Unfinished, seen: Option<(&index::Survey, &Closed)>) {
        match self.place.publish(&file.path, file.slot) {
            Ok(published) => {
                self.index(&published, seen);
                self.books.lock().files += 1;
                let mut statement = file.statement;
                statement.file = self.place.relative(Some(published.path()), file.slot);
                self.state(statement);
            }
            Err(e) => {
                log::error!("{e}: what was written is tried again with the next file");
                self.put_off(file);
            }
        }
    }

    /// Puts what is known of a file beside it. Without that searches read it.
    fn index(&self, published: &Published, seen: Option<(&index::Survey, &Closed)>) {
        let Some(index) = &self.index else { return };
        if let Err(e) = index.note(&self.place.dir, published, &self.ident, seen) {
            log::warn!("no index: {e}; flowdump --index build makes one");
        }
    }

    fn put_off(&mut self, file: Unfinished) {
        /// More are left to the next start.
        const MOST: usize = 1024;
        self.unfinished.push_back(file);
        while self.unfinished.len() > MOST {
            self.unfinished.pop_front();
        }
        self.books.lock().unfinished = self.unfinished.len() as u64;
    }

    fn try_again(&mut self) {
        const AT_ONCE: usize = 8;
        for _ in 0..AT_ONCE.min(self.unfinished.len()) {
            if let Some(file) = self.unfinished.pop_front() {
                self.end_of(file, false);
            }
        }
        self.books.lock().unfinished = self.unfinished.len() as u64;
        while let Some(statement) = self.statements.pop_front() {
            if statement.append(&self.place.dir).is_err() {
                self.statements.push_front(statement);
                break;
            }
        }
    }

    /// Gives a file that somebody left its end and its name. Trouble is told the first time.
    fn end_of(&mut self, file: Unfinished, is_first: bool) {
        match take_in(&file.path, &self.place, &self.ident, file.slot, file.left.is_none()) {
            Err(e) => {
                if is_first {
                    log::error!(
                        "{}: left by a crash, cannot be taken in: {e}",
                        file.path.display()
                    );
                }
                self.put_off(file);
            }
            Ok(Taken::Empty | Taken::Before) => {}
            Ok(Taken::Named(published, resumed)) => {
                let path = published.path();
                self.index(&published, None);
                self.books.lock().files += 1;
                let name = self.place.relative(Some(path), file.slot);
                let Some(left) = file.left else {
                    log::info!("{}: could be finished now", path.display());
                    self.state(Statement { file: name, ..file.statement });
                    return;
                };
                let flows = resumed.closed.totals.all_flows();
                self.books.lock().recovered += flows;
                log::warn!("{}: left by a crash, {flows} flows taken in", path.display());
                self.state(left.statement(name, Some(&resumed)));
            }
        }
    }

    /// Writes down what is missing in a file, or that nothing is.
    fn state(&mut self, statement: Statement) {
        const MOST: usize = 1024;
        if self.statements.is_empty() {
            let Err(e) = statement.append(&self.place.dir) else { return };
            log::warn!("{e}: statements of loss wait until this works");
        }
        self.statements.push_back(statement);
        while self.statements.len() > MOST {
            self.statements.pop_front();
        }
    }
}
