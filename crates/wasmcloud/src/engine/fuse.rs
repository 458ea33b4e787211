//! Makes one component out of the members of an entry or callee.
//!
//! Imports that bear identity, and those that a callee in another store answers, are imported once for each member, under a label that begins with the member's position and names
//! its interface with `(implements …)`. Everything else that the members import is shared.

use std::collections::HashMap;
use std::sync::Arc;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use super::inspect::Inspected;
use super::plan::Member;
use crate::artifact::Digest;
use crate::plugin::Position;
use crate::workload::ComponentName;

/// Why members could not be fused.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// What one member imports is not what the other exports.
    #[error(
        "component `{from}` cannot call component `{to}`: what `{import}` means differs between the two: {reason}"
    )]
    Mismatch {
        /// The importing component.
        from: ComponentName,
        /// The exporting component.
        to: ComponentName,
        /// The import.
        import: String,
        /// How they differ.
        reason: String,
    },
    /// The members do not go together for another reason.
    #[error("the components behind `{root}` cannot be fused into one: {reason}")]
    Failed {
        /// The component at position 0.
        root: String,
        /// Why.
        reason: String,
    },
}

/// Fuses the members of an entry or callee; `components` holds their bytes by position. A lone member is returned as it is.
///
/// # Errors
/// When the members' types do not fit each other.
pub fn fuse(members: &[Member], components: &[Inspected]) -> Result<Arc<[u8]>, FuseError> {
    if let [lone] = components {
        return Ok(Arc::clone(&lone.bytes));
    }
    let root = root(members);
    let failed = |error: &dyn std::fmt::Display| FuseError::Failed {
        root: root.clone(),
        reason: error.to_string(),
    };
    let mut fusion = Fusion::new(components).map_err(|error| failed(&format!("{error:#}")))?;
    for (position, member) in members.iter().enumerate() {
        fusion
            .keep_apart(position, member)
            .map_err(|error| failed(&format!("{error:#}")))?;
        fusion.connect(position, member, members)?;
    }
    fusion
        .export_root()
        .map_err(|error| failed(&format!("{error:#}")))?;
    // The compiler validates the result; doing it here too would cost the time twice.
    let options = EncodeOptions {
        validate: false,
        ..EncodeOptions::default()
    };
    let bytes = fusion
        .graph
        .encode(options)
        .map_err(|error| failed(&format!("{:#}", anyhow::Error::new(error))))?;
    Ok(bytes.into())
}

/// The name of the component at position 0, for messages.
pub(super) fn root(members: &[Member]) -> String {
    let root = members.first();
    root.map(|member| member.component.to_string())
        .unwrap_or_default()
}

struct Fusion {
    graph: CompositionGraph,
    members: Vec<(PackageId, NodeId)>,
}

impl Fusion {
    /// Members with the same bytes share one package, so their code is compiled once.
    fn new(components: &[Inspected]) -> anyhow::Result<Self> {
        let mut graph = CompositionGraph::new();
        let mut packages: HashMap<Digest, PackageId> = HashMap::new();
        let mut members = Vec::new();
        for (position, component) in components.iter().enumerate() {
            let package = match packages.get(&component.digest) {
                Some(package) => *package,
                None => {
                    let package = Package::from_bytes(
                        &format!("c{position}"),
                        None,
                        component.bytes.to_vec(),
                        graph.types_mut(),
                    )?;
                    let package = graph.register_package(package)?;
                    packages.insert(component.digest, package);
                    package
                }
            };
            members.push((package, graph.instantiate(package)));
        }
        Ok(Self { graph, members })
    }

    fn keep_apart(&mut self, position: usize, member: &Member) -> anyhow::Result<()> {
        let isolated = member.isolated.iter().map(|link| &link.import);
        for import in member.apart.iter().chain(isolated) {
            let (package, instance) = self.member(position)?;
            let world = self.graph[package].ty();
            let kind = self.graph.types()[world].imports.get(import).copied();
            let kind =
                kind.ok_or_else(|| anyhow::anyhow!("`{import}` is planned but not imported"))?;
            let node = self.graph.import(label(position, import), kind)?;
            self.graph
                .set_instantiation_argument(instance, import, node)?;
        }
        Ok(())
    }

    fn connect(
        &mut self,
        position: usize,
        member: &Member,
        members: &[Member],
    ) -> Result<(), FuseError> {
        for link in &member.fused {
            self.argument(position, &link.import, link.to, &link.export)
                .map_err(|error| FuseError::Mismatch {
                    from: member.component.clone(),
                    to: members
                        .get(link.to)
                        .map_or_else(|| member.component.clone(), |to| to.component.clone()),
                    import: link.import.clone(),
                    reason: format!("{error:#}"),
                })?;
        }
        Ok(())
    }

    fn argument(
        &mut self,
        position: usize,
        import: &str,
        to: usize,
        export: &str,
    ) -> anyhow::Result<()> {
        let (_, importer) = self.member(position)?;
        let (_, exporter) = self.member(to)?;
        let export = self.graph.alias_instance_export(exporter, export)?;
        self.graph
            .set_instantiation_argument(importer, import, export)?;
        Ok(())
    }

    fn export_root(&mut self) -> anyhow::Result<()> {
        let (package, instance) = self.member(0)?;
        let world = self.graph[package].ty();
        let names: Vec<String> = self.graph.types()[world].exports.keys().cloned().collect();
        for name in names {
            let export = self.graph.alias_instance_export(instance, &name)?;
            self.graph.export(export, &name)?;
        }
        Ok(())
    }

    fn member(&self, position: usize) -> anyhow::Result<(PackageId, NodeId)> {
        self.members
            .get(position)
            .copied()
            .ok_or_else(|| anyhow::anyhow!("no member at position {position}"))
    }
}

/// The label under which a member's own copy of an import goes, such as `c1-wasi-cli-stdout-v0p2p6`. Labels are words of letters
/// and digits, each beginning with a letter.
pub(super) fn label(position: usize, import: &str) -> String {
    let mut label = format!("c{position}");
    for word in import
        .replace('@', "-v")
        .replace('.', "p")
        .split(|c: char| !c.is_ascii_alphanumeric())
    {
        label.push('-');
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            label.push('n');
        }
        label.push_str(word);
    }
    label
}

/// The position that a label of [`label`] begins with.
pub(super) fn position(label: &str) -> Option<Position> {
    let (digits, _) = label.strip_prefix('c')?.split_once('-')?;
    digits.parse().ok().map(Position)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
