//! Bodies that the library holds in memory: with a limit, and with no word of how long they will be.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use object_store::client::{HttpError, HttpErrorKind};

/// An answer has more bytes than it may.
#[derive(Debug, thiserror::Error)]
#[error("the server sends too much")]
pub(in super::super) struct TooLong;

/// A body that fails when it becomes too long. It has no size hint: for as much as that promised the library would make room, though
/// nothing of it had come yet.
pub(super) struct Short<B> {
    body: B,
    left: usize,
}

impl<B> Short<B> {
    /// With at most so many bytes.
    pub(super) fn new(body: B, longest: usize) -> Self {
        Self {
            body,
            left: longest,
        }
    }
}

impl<B: Body<Data = Bytes, Error = HttpError> + Unpin> Body for Short<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(frame.and_then(|frame| {
            let more = frame.data_ref().map_or(0, Bytes::len);
            let left = self.left.checked_sub(more);
            // To ask again would not help.
            let too_long = || HttpError::new(HttpErrorKind::Decode, TooLong);
            self.left = left.ok_or_else(too_long)?;
            Ok(frame)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use http_body_util::{BodyExt as _, Full};

    use super::*;
    use crate::capability::blobstore::cause;

    fn short(longest: usize) -> Short<impl Body<Data = Bytes, Error = HttpError> + Unpin> {
        let body = Full::new(Bytes::from_static(b"12345"));
        Short::new(
            body.map_err(|never| -> HttpError { match never {} }),
            longest,
        )
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_may_be_and_promises_nothing() {
        let body = short(5);
        let hint = body.size_hint();
        assert_eq!((hint.lower(), hint.upper()), (0, None));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
        let error = short(4).collect().await.unwrap_err();
        assert!(cause::<TooLong>(&error).is_some(), "{error}");
    }
}
