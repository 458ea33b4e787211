//! A capability of this program's own: each workload has a guestbook, a file in a folder of the program's.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tokio::{fs::File, io::AsyncWriteExt as _, sync::Mutex};
use wasmcloud::plugin::{BindRequest, Binding, Grant, Import, Offer};
use wasmcloud::plugin::{Plugin, PluginError, State, StoreData};
use wasmtime::{Result, component::LinkerInstance};

/// The plugin: one for all workloads.
pub(crate) struct Guestbooks(pub(crate) PathBuf);

/// The book of one workload, and the lines that are left in it.
struct Book(Mutex<(File, u32)>);

/// What a workload holds of it. It is dropped when the workload stops, and the book is closed.
struct Held(Arc<Book>);

impl Binding for Held {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0))) // in the store of every instance, found by its type
    }
}

#[async_trait]
impl Plugin for Guestbooks {
    fn id(&self) -> &'static str {
        "demo-guestbook"
    }

    fn offers(&self) -> Vec<Offer> {
        let book = "demo:guestbook/book@0.1.0".parse();
        let offer = |book| Offer {
            grant: Grant::Listed, // workloads have to list it in `hostInterfaces`
            configurable: true,   // and may give it a `config` there
            ..Offer::identity(book)
        };
        book.map(offer).into_iter().collect()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let mut configs = request.interfaces.iter().map(|entry| &entry.config);
        let lines = configs.find_map(|config| config.get("lines")?.parse().ok());
        let wrong = || PluginError::new("no number of `lines` is configured");
        let lines = lines.ok_or_else(|| wrong().hint("add it to `config`"))?;
        let (namespace, name) = (&request.workload.namespace, &request.workload.name);
        let file = File::create(self.0.join(format!("{namespace}.{name}.txt"))).await;
        let file = file.map_err(|error| PluginError::new(format!("no book: {error}")))?;
        Ok(Box::new(Held(Arc::new(Book(Mutex::new((file, lines)))))))
    }

    fn link(&self, import: &Import<'_>, to: &mut LinkerInstance<'_, StoreData>) -> Result<()> {
        let position = import.position;
        to.func_wrap_async("sign", move |store, (text,): (String,)| {
            let caller = store.data().caller(position).map(|it| it.name.clone());
            let book = store.data().workload().states.get_arc::<Book>();
            Box::new(async move {
                let book = book.ok_or_else(|| wasmtime::format_err!("no book is open"))?;
                Ok((book.sign(&format!("{}: {text}\n", caller?)).await,))
            })
        })
    }
}

impl Book {
    /// What goes wrong here is told to the guest, as the function returns a `result`. Others wait for the book meanwhile.
    async fn sign(&self, line: &str) -> Result<u32, String> {
        let (file, left) = &mut *self.0.lock().await;
        *left = left.checked_sub(1).ok_or("the book is full")?;
        let written = file
            .write_all(line.as_bytes())
            .await
            .and(file.flush().await);
        written.map_err(|_| "the book cannot be written")?;
        Ok(*left)
    }
}
