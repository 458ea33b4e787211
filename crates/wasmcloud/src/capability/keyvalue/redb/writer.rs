//! The thread that writes. Changes that wait share a transaction; each is told how it went when all of them are on the disk.

use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::DiskFile;
use super::tables::{Address, Tables, Writing};
use super::turns::WRITES;
use crate::capability::keyvalue::Fault;

/// How many changes may wait, and how many share a transaction: those of several tenants.
const WAITING: usize = 4 * WRITES as usize;

/// Tells whoever waits for a change how the transaction went.
type Tell = Box<dyn FnOnce(Result<(), Fault>) + Send>;

/// One change, or the reason why there is no transaction for it.
type Job = Box<dyn FnOnce(Result<&mut Tables<'_>, Fault>) -> Tell + Send>;

/// The way to the thread. It ends when this is dropped and nothing waits any more.
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    pub(super) fn start(file: Arc<DiskFile>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = thread::Builder::new().name("keyvalue".to_owned());
        thread.spawn(move || run(&file, receiver))?;
        Ok(Self(sender))
    }

    /// Carries out a change; it is on the disk when this returns.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        address: &Arc<Address>,
        change: impl FnOnce(&mut Writing<'_, '_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (tell, told) = oneshot::channel();
        let address = Arc::clone(address);
        let job: Job = Box::new(move |tables| {
            let outcome = tables.and_then(|tables| {
                change(&mut Writing {
                    tables,
                    address: &address,
                })
            });
            // Whoever asked may be gone.
            Box::new(move |written| drop(tell.send(written.and(outcome))))
        });
        let ended = || Fault::Unavailable("the host is ending".to_owned());
        self.0.send(job).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())?
    }
}

fn run(file: &DiskFile, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::new();
    while jobs.blocking_recv_many(&mut waiting, WAITING) > 0 {
        let mut tell = Vec::with_capacity(waiting.len());
        let written = write(file, &mut waiting, &mut tell);
        if let Err(fault) = &written {
            file.failed(fault);
            let refused = waiting.drain(..).map(|job| job(Err(fault.clone())));
            tell.extend(refused);
        }
        for tell in tell {
            tell(written.clone());
        }
    }
}

/// Carries out all that waits, or leaves what it did not come to.
fn write(file: &DiskFile, waiting: &mut Vec<Job>, tell: &mut Vec<Tell>) -> Result<(), Fault> {
    let database = file.database()?;
    let transaction = database.begin_write().map_err(|error| file.fault(error))?;
    let mut tables = Tables::of(&transaction, file).map_err(|error| file.fault(error))?;
    tables.sweep()?;
    for job in waiting.drain(..) {
        tell.push(job(Ok(&mut tables)));
    }
    tables.finish()?;
    transaction.commit().map_err(|error| file.fault(error))
}
