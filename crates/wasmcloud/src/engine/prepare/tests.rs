//! Artifacts are shared, kept on disk, and taken from there only when they are what they should be.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::engine::config::{Allocation, config};
use crate::engine::testing::{ENTRY, LEFT, PLACE, Planned, RIGHT, SEVEN, adder, engine, planned};

/// 1 + 20 + 7.
fn pair(engine: &Engine) -> Planned {
    planned(
        engine,
        &[
            ("front", adder(ENTRY, &[LEFT], 1)),
            ("back", adder(LEFT, &[SEVEN], 20)),
        ],
        &[],
    )
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// The one file of a cache.
fn kept(root: &Path) -> PathBuf {
    let mut files = files(root);
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files.remove(0);
    assert_eq!(file.extension().unwrap(), "cwasm");
    file
}

fn plain_cache(root: &Path) -> DiskCache {
    let engine = wasmtime::Engine::new(&config(
        Flavour::Plain,
        Allocation::OnDemand { instances: 64 },
    ))
    .unwrap();
    DiskCache::open(root, &engine, Flavour::Plain).unwrap()
}

fn members(planned: &Planned) -> Vec<Inspected> {
    let members = planned.entry.members.iter();
    members
        .map(|member| planned.components[&member.component].clone())
        .collect()
}

#[tokio::test]
async fn what_is_prepared_runs() {
    let engine = engine(None);
    let pair = pair(&engine);
    let artifact = pair.prepare(&engine).await;
    assert_eq!(pair.run(&artifact).await.unwrap(), 28);
    assert!(!artifact.from_disk);
}

#[tokio::test]
async fn each_member_is_known_by_its_position() {
    let engine = engine(None);
    let components = [
        ("front", adder(ENTRY, &[LEFT, RIGHT, PLACE], 1000)),
        ("left", adder(LEFT, &[PLACE], 10)),
        ("right", adder(RIGHT, &[PLACE], 100)),
    ];
    let planned = planned(&engine, &components, &[]);
    let artifact = planned.prepare(&engine).await;
    assert_eq!(planned.run(&artifact).await.unwrap(), 1113);
}

#[tokio::test]
async fn a_lone_component_is_at_position_0() {
    let engine = engine(None);
    let planned = planned(&engine, &[("front", adder(ENTRY, &[PLACE], 5))], &[]);
    let artifact = planned.prepare(&engine).await;
    assert_eq!(planned.run(&artifact).await.unwrap(), 5);
}

#[tokio::test]
async fn the_same_components_share_an_artifact_whatever_they_are_called() {
    let engine = engine(None);
    let one = pair(&engine).prepare(&engine).await;
    assert!(Arc::ptr_eq(&one, &pair(&engine).prepare(&engine).await));
    let renamed = planned(
        &engine,
        &[
            ("a", adder(LEFT, &[SEVEN], 20)),
            ("z", adder(ENTRY, &[LEFT], 1)),
        ],
        &[],
    );
    assert!(Arc::ptr_eq(&one, &renamed.prepare(&engine).await));
}

#[tokio::test]
async fn an_artifact_that_nobody_holds_is_let_go() {
    let engine = engine(None);
    let weak = Arc::downgrade(&pair(&engine).prepare(&engine).await);
    assert!(weak.upgrade().is_none());
    let other = planned(&engine, &[("front", adder(ENTRY, &[], 5))], &[]);
    let _held = other.prepare(&engine).await;
    assert_eq!(engine.0.artifacts.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn other_links_make_another_artifact() {
    let engine = engine(None);
    let components = [
        ("front", adder(ENTRY, &[LEFT, RIGHT], 0)),
        ("ten", adder(LEFT, &[RIGHT], 10)),
        ("twenty", adder(RIGHT, &[], 20)),
        ("thirty", adder(RIGHT, &[], 30)),
    ];
    let mut artifacts = Vec::new();
    for (of_front, of_ten, sum) in [
        ("twenty", "twenty", 50),
        ("twenty", "thirty", 60),
        ("thirty", "twenty", 60),
        ("thirty", "thirty", 70),
    ] {
        let links = [("front", RIGHT, of_front), ("ten", RIGHT, of_ten)];
        let planned = planned(&engine, &components, &links);
        let artifact = planned.prepare(&engine).await;
        assert_eq!(planned.run(&artifact).await.unwrap(), sum);
        assert!(artifacts.iter().all(|other| !Arc::ptr_eq(other, &artifact)));
        artifacts.push(artifact);
    }
}

#[tokio::test]
async fn who_asks_at_the_same_time_waits_for_the_one_compilation() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(Some(dir.path()));
    let pair = pair(&engine);
    let (one, two, three) = tokio::join!(
        pair.prepare(&engine),
        pair.prepare(&engine),
        pair.prepare(&engine)
    );
    assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one, &three));
    assert!(!one.from_disk && !three.from_disk);
    kept(dir.path());
}

#[tokio::test]
async fn a_preparation_that_is_given_up_does_not_hinder_the_next() {
    let engine = engine(None);
    let pair = pair(&engine);
    let mut given_up = Box::pin(pair.prepare(&engine));
    assert!(futures::FutureExt::now_or_never(&mut given_up).is_none());
    drop(given_up);
    let artifact = pair.prepare(&engine).await;
    assert_eq!(pair.run(&artifact).await.unwrap(), 28);
}

#[tokio::test]
async fn another_engine_finds_what_the_first_one_kept() {
    let dir = tempfile::tempdir().unwrap();
    for from_disk in [false, true, true] {
        let engine = engine(Some(dir.path()));
        let pair = pair(&engine);
        let artifact = pair.prepare(&engine).await;
        assert_eq!(artifact.from_disk, from_disk);
        assert_eq!(pair.run(&artifact).await.unwrap(), 28);
        kept(dir.path());
    }
}

#[tokio::test]
async fn a_real_guest_is_kept_and_found() {
    let dir = tempfile::tempdir().unwrap();
    for from_disk in [false, true] {
        let engine = engine(Some(dir.path()));
        let parts = [test_guests::CALC_CALLER, test_guests::CALC_CALLEE];
        let inspected = parts.map(|path| crate::engine::inspect(&fs::read(path).unwrap()).unwrap());
        let names: [ComponentName; 2] = ["caller".parse().unwrap(), "callee".parse().unwrap()];
        let math = inspected[1].world.exports[0].name.clone();
        let apart = |world: &crate::engine::World| -> Vec<String> {
            let offers = engine.offers();
            let imports = world.imports.iter();
            let identity = |import: &&crate::engine::inspect::Extern| {
                let answer = import.interface().and_then(|it| offers.answer(it));
                answer.is_some_and(|answer| answer.offer.identity)
            };
            imports
                .filter(identity)
                .map(|import| import.name.clone())
                .collect()
        };
        let member = |n: usize, fused| Member {
            component: names[n].clone(),
            fused,
            isolated: Vec::new(),
            apart: apart(&inspected[n].world),
        };
        let fused = crate::engine::plan::FusedImport {
            import: math.clone(),
            to: 1,
            export: math.clone(),
        };
        let members = [member(0, vec![fused]), member(1, Vec::new())];
        let components: Components = names.clone().into_iter().zip(inspected.clone()).collect();
        let prepared = engine.prepare(Flavour::Plain, &members, &components).await;
        let artifact = prepared.unwrap();
        assert_eq!(artifact.from_disk, from_disk);
    }
}

/// Whatever stands in the file is thrown away, and the file is whole again afterwards.
#[tokio::test]
async fn a_damaged_file_is_compiled_again_and_healed() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(Some(dir.path()));
    pair(&first).prepare(&first).await;
    let file = kept(dir.path());
    let intact = fs::read(&file).unwrap();
    let flipped = |index: usize| {
        let mut bytes = intact.clone();
        bytes[index] ^= 0x10;
        bytes
    };
    let damaged = [
        Vec::new(),
        b"wcart".to_vec(),
        intact[..intact.len() / 2].to_vec(),
        intact[..intact.len() - 1].to_vec(),
        [&intact[..], b"more"].concat(),
        flipped(3),
        flipped(20),
        flipped(intact.len() / 2),
        flipped(intact.len() - 1),
    ];
    for (case, bytes) in damaged.into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let engine = engine(Some(dir.path()));
        let pair = pair(&engine);
        let artifact = pair.prepare(&engine).await;
        assert!(!artifact.from_disk, "case {case}");
        assert_eq!(pair.run(&artifact).await.unwrap(), 28);
        assert_eq!(kept(dir.path()), file);
        let again = engine_reads(dir.path()).await;
        assert!(again, "case {case} is not healed");
    }
}

async fn engine_reads(root: &Path) -> bool {
    let engine = engine(Some(root));
    pair(&engine).prepare(&engine).await.from_disk
}

/// The digest is right, so that only Wasmtime can notice.
#[tokio::test]
async fn what_another_engine_compiled_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let other = engine(Some(dir.path()));
    let mut concurrent = pair(&other);
    concurrent.entry.flavour = Flavour::Concurrent;
    concurrent.prepare(&other).await;
    let foreign = fs::read(kept(dir.path())).unwrap();
    let version = {
        // A file of another Wasmtime differs in the version that is written in it.
        let mut bytes = foreign.clone();
        let at = bytes.windows(4).position(|it| it == b"\x7fELF").unwrap();
        bytes.drain(..at);
        bytes
    };
    for content in [
        version,
        b"no code at all".to_vec(),
        b"\x7fELF\x02\x01\x01".to_vec(),
        Vec::new(),
    ] {
        let engine = engine(Some(dir.path()));
        let pair = pair(&engine);
        let key = key(Flavour::Plain, &pair.entry.members, &members(&pair));
        plain_cache(dir.path()).store(&key, &content).unwrap();
        let artifact = pair.prepare(&engine).await;
        assert!(!artifact.from_disk);
        assert_eq!(pair.run(&artifact).await.unwrap(), 28);
        assert!(engine_reads(dir.path()).await);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_costs_the_cache_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for root in [
        &file,
        &file.join("below"),
        Path::new("/proc"),
        Path::new("/proc/cache"),
    ] {
        let engine = engine(Some(root));
        let pair = pair(&engine);
        let artifact = pair.prepare(&engine).await;
        assert_eq!(pair.run(&artifact).await.unwrap(), 28, "{}", root.display());
    }
    assert_eq!(fs::read(&file).unwrap(), b"");
}

#[tokio::test]
async fn a_file_that_cannot_be_replaced_costs_the_cache_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(Some(dir.path()));
    pair(&first).prepare(&first).await;
    let file = kept(dir.path());
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in the way")).unwrap();
    let engine = engine(Some(dir.path()));
    let pair = pair(&engine);
    let artifact = pair.prepare(&engine).await;
    assert_eq!(pair.run(&artifact).await.unwrap(), 28);
    assert!(files(dir.path()).is_empty(), "a temporary file is left");
}

/// A process that may write no more than a few kilobytes to a file is as badly off as one whose disk is full. The test starts
/// itself again as such a process.
#[tokio::test]
async fn a_full_disk_costs_the_cache_only() {
    const ROOT: &str = "WASMCLOUD_TEST_SMALL_FILES_ONLY";
    const SCRIPT: &str = r#"trap '' XFSZ; ulimit -f 8; exec "$0" --exact "$1" --nocapture"#;
    if let Some(root) = std::env::var_os(ROOT) {
        let engine = engine(Some(Path::new(&root)));
        let pair = pair(&engine);
        let artifact = pair.prepare(&engine).await;
        assert_eq!(pair.run(&artifact).await.unwrap(), 28);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = std::process::Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(std::env::current_exe().unwrap())
        .arg("engine::prepare::tests::a_full_disk_costs_the_cache_only")
        .env(ROOT, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
    let folders = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!((folders, files(dir.path()).len()), (1, 0));
}

#[tokio::test]
async fn a_member_that_was_not_inspected_is_an_error() {
    let engine = engine(None);
    let mut pair = pair(&engine);
    pair.components
        .remove(&"back".parse::<ComponentName>().unwrap());
    let error = pair.try_prepare(&engine).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`back` does not compile: it was not inspected"
    );
}

#[tokio::test]
async fn what_failed_once_fails_again_and_does_not_hang() {
    let engine = engine(None);
    let mut pair = pair(&engine);
    pair.entry.members[0].fused[0].to = 9;
    for _ in 0..2 {
        let error = pair.try_prepare(&engine).await.unwrap_err();
        assert!(matches!(error, PrepareError::Fuse(_)), "{error}");
    }
}
