//! `wasi:blobstore/types`: the values.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::types::{Host, HostIncomingValue, HostOutgoingValue};
use super::{Told, told};
use crate::capability::blobstore::plugin::bound;
use crate::plugin::StoreData;

impl Host for StoreData {}

impl HostOutgoingValue for StoreData {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<Outgoing>> {
        let value = Outgoing::new(&bound(self)?.spool);
        Ok(self.table().push(value)?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let Some(stream) = self.table().get_mut(&value)?.stream() else {
            return Ok(Err(()));
        };
        let stream: DynOutputStream = Box::new(stream);
        Ok(Ok(self.table().push(stream)?))
    }

    async fn finish(&mut self, value: Resource<Outgoing>) -> wasmtime::Result<Told<()>> {
        let value = self.table().delete(value)?;
        Ok(told(value.finish().await))
    }

    async fn drop(&mut self, value: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table().delete(value)?;
        Ok(())
    }
}

impl HostIncomingValue for StoreData {
    async fn incoming_value_consume_sync(
        &mut self,
        value: Resource<Incoming>,
    ) -> wasmtime::Result<Told<Vec<u8>>> {
        let room = bound(self)?.spool.room();
        let value = self.table().delete(value)?;
        Ok(told(value.whole(room).await))
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<Incoming>,
    ) -> wasmtime::Result<Told<Resource<DynInputStream>>> {
        let value = self.table().delete(value)?;
        let stream: DynInputStream = Box::new(value.stream());
        Ok(Ok(self.table().push(stream)?))
    }

    async fn size(&mut self, value: Resource<Incoming>) -> wasmtime::Result<u64> {
        Ok(self.table().get(&value)?.size())
    }

    async fn drop(&mut self, value: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table().delete(value)?;
        Ok(())
    }
}
