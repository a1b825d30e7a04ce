//! Puts the roles of this process together: one session a role, one writer a process, one connector for all calls.
//!
//! In standalone the roles call one another through the same generated clients and servers as in a cluster, without a
//! socket: each role's services are registered with the connector under an address of its own, which no socket has.

mod compactor;
mod gateway;
mod ingester;
mod querier;
mod ruler;
mod scraper;

use std::sync::{Arc, OnceLock};

use ::ingester::Ingester;
use axum::Router;
use cluster::Role;
use object_store::ObjectStore;
use promql::Engine;
use proto::connect::Connector;
use service::Context;
use session::{Session, SessionConfig, SessionError, Writer, WriterConfig, WriterMetrics};
use tonic::service::Routes;

use crate::fault::Fault;
use crate::settings::{Mode, STANDALONE, Settings};

/// Where this process is reached, and what it was given.
pub(crate) struct Place {
    pub(crate) http_address: String,
    /// `None` when nobody calls it over a socket.
    pub(crate) grpc_address: Option<String>,
    /// `None` for roles that touch no objects.
    pub(crate) objects: Option<Arc<dyn ObjectStore>>,
}

/// The roles of this process, built and not started.
#[derive(Default)]
pub(crate) struct Built {
    /// What all of them serve over HTTP.
    pub(crate) http: Router,
    /// What the role of this process that others call serves over gRPC, where there is a socket.
    pub(crate) grpc: Option<Routes>,
    roles: Vec<Box<dyn Start>>,
    /// To be stopped after the workers.
    pub(crate) ingester: Option<Arc<Ingester>>,
}

/// What each role can: spawn its workers. They run as long as the role is kept.
trait Start: Send {
    fn start(&self);
}

macro_rules! start {
    ($($role:ty),*) => {
        $(impl Start for $role {
            fn start(&self) {
                <$role>::start(self);
            }
        })*
    };
}
start!(::compactor::Compactor, ::gateway::Gateway, ::querier::Querier, ::ruler::Ruler, ::scraper::Scraper);

impl Start for Arc<Ingester> {
    fn start(&self) {
        Ingester::start(self);
    }
}

/// One role, built and not started.
struct Part {
    http: Router,
    grpc: Option<Routes>,
    role: Box<dyn Start>,
    ingester: Option<Arc<Ingester>>,
}

/// Builds the roles that the settings name.
///
/// # Errors
/// One line, when a role cannot be.
pub(crate) async fn build(settings: &Settings, place: Place, context: &Context) -> Result<Built, Fault> {
    let engine = Engine::new(querier::engine(settings));
    let builder = Builder {
        settings,
        place,
        context,
        connector: Connector::default(),
        writer: OnceLock::new(),
        engine,
    };
    let mut built = Built::default();
    match settings.mode {
        Mode::Role(role) => {
            let part = builder.part(role).await?;
            built.grpc = part.grpc.clone();
            built.take(part);
        }
        // In this order each role finds those that it calls.
        Mode::Standalone => {
            for role in Role::ALL {
                let part = builder.part(role).await?;
                if let Some(routes) = &part.grpc {
                    builder.connector.serve_in_process(&in_process_address(role), routes.clone());
                }
                if role == Role::Ingester {
                    // What a tool asks of a cluster, it asks of its ingesters.
                    built.grpc = part.grpc.clone();
                }
                built.take(part);
            }
        }
    }
    Ok(built)
}

impl Built {
    /// Spawns the workers of all roles.
    pub(crate) fn start(&self) {
        self.roles.iter().for_each(|role| role.start());
    }

    fn take(&mut self, part: Part) {
        self.http = std::mem::take(&mut self.http).merge(part.http);
        self.roles.push(part.role);
        self.ingester = self.ingester.take().or(part.ingester);
    }
}

/// Returns the address under which a role's services are found within a standalone process.
fn in_process_address(role: Role) -> String {
    match role {
        Role::Ingester => STANDALONE.to_owned(),
        role => format!("{STANDALONE}-{role}"),
    }
}

struct Builder<'a> {
    settings: &'a Settings,
    place: Place,
    context: &'a Context,
    connector: Connector,
    writer: OnceLock<Arc<Writer>>,
    /// Evaluates for all roles of this process, within one memory.
    engine: Engine,
}

impl Builder<'_> {
    async fn part(&self, role: Role) -> Result<Part, Fault> {
        match role {
            Role::Ingester => ingester::build(self).await,
            Role::Gateway => gateway::build(self).await,
            Role::Querier => querier::build(self).await,
            Role::Compactor => compactor::build(self).await,
            Role::Scraper => scraper::build(self).await,
            Role::Ruler => ruler::build(self).await,
        }
    }

    /// Makes the session of a role, and the worker that keeps it; the process is not ready before it is a member.
    fn session(&self, role: Role, disk_id: Option<[u8; 16]>) -> Arc<Session> {
        let settings = self.settings;
        let grpc_address = match settings.mode {
            Mode::Standalone => in_process_address(role),
            Mode::Role(_) => self.place.grpc_address.clone().unwrap_or_default(),
        };
        let config = SessionConfig {
            cluster: settings.cluster.name.clone(),
            seeds: settings.cluster.first_ingesters.iter().map(|first| first.grpc_address.clone()).collect(),
            role,
            name: settings.node.name.clone(),
            zone: settings.node.zone.clone(),
            grpc_address,
            http_address: self.place.http_address.clone(),
            disk_id,
        };
        let session = Session::new(config, self.connector.clone());
        let gate = self.context.gate(format!("membership of the {role}"));
        let (joining, shutdown) = (session.clone(), self.context.shutdown());
        self.context.spawn(format!("{role} joins"), async move {
            tokio::select! {
                () = joining.wait_joined() => gate.open(),
                () = shutdown.cancelled() => {}
            }
            Ok::<(), SessionError>(())
        });
        self.context.spawn(format!("{role} session"), session.clone().run(self.context.shutdown()));
        session
    }

    /// Returns the process's writer; the first role that asks lends its session.
    fn writer(&self, session: &Arc<Session>) -> Arc<Writer> {
        let make = || {
            let metrics = WriterMetrics::default();
            self.context.metrics().register(|registry| metrics.register(registry));
            let writer = Writer::new(session.clone(), WriterConfig::default(), metrics);
            let run = writer.clone().run(self.context.shutdown());
            self.context.spawn("writer", async move {
                run.await;
                Ok::<(), SessionError>(())
            });
            writer
        };
        self.writer.get_or_init(make).clone()
    }

    /// Returns the object store; settings see to it that roles that need one have one.
    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.place.objects.clone().expect("the settings of this role name an object store")
    }
}
