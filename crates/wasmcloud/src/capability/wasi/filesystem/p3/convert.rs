//! Flags of WASI 0.3 for the bodies that both versions share, and their errors back.

use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;
use wasmtime_wasi::p3::filesystem::FilesystemError;

macro_rules! flags {
    ($given:ident as $flags:ident: $($flag:ident)*) => {{
        let mut flags = p2::$flags::empty();
        $(if $given.contains(p3::$flags::$flag) {
            flags |= p2::$flags::$flag;
        })*
        flags
    }};
}

pub(super) fn path_flags(given: p3::PathFlags) -> p2::PathFlags {
    flags!(given as PathFlags: SYMLINK_FOLLOW)
}

pub(super) fn open_flags(given: p3::OpenFlags) -> p2::OpenFlags {
    flags!(given as OpenFlags: CREATE DIRECTORY EXCLUSIVE TRUNCATE)
}

pub(super) fn descriptor_flags(given: p3::DescriptorFlags) -> p2::DescriptorFlags {
    flags!(given as DescriptorFlags:
        READ WRITE FILE_INTEGRITY_SYNC DATA_INTEGRITY_SYNC REQUESTED_WRITE_SYNC MUTATE_DIRECTORY)
}

pub(super) fn error(error: FsError) -> FilesystemError {
    match error.downcast() {
        Ok(error) => code(error).into(),
        Err(trap) => FilesystemError::trap(trap),
    }
}

macro_rules! same {
    ($given:ident in $of:ident: $($same:ident)* | $($from:ident => $to:expr),*) => {
        match $given {
            $(p2::$of::$same => p3::$of::$same,)*
            $(p2::$of::$from => $to,)*
        }
    };
}

pub(super) fn code(code: p2::ErrorCode) -> p3::ErrorCode {
    same!(code in ErrorCode:
        Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence InProgress Interrupted Invalid Io
        IsDirectory Loop TooManyLinks MessageSize NameTooLong NoDevice NoEntry NoLock InsufficientMemory InsufficientSpace
        NotDirectory NotEmpty NotRecoverable Unsupported NoTty NoSuchDevice Overflow NotPermitted Pipe ReadOnly InvalidSeek
        TextFileBusy CrossDevice
        | WouldBlock => p3::ErrorCode::Other(Some("would block".to_owned())))
}

pub(super) fn entry(entry: p2::DirectoryEntry) -> p3::DirectoryEntry {
    let type_ = entry.type_;
    p3::DirectoryEntry {
        type_: same!(type_ in DescriptorType: BlockDevice CharacterDevice Directory Fifo SymbolicLink RegularFile Socket
            | Unknown => p3::DescriptorType::Other(None)),
        name: entry.name,
    }
}
