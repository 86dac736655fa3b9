//! Where the measured system keeps its data: a file in a temporary folder, or a database of its own on a server.

use std::time::Duration;

use anyhow::Context;
use shared::clock::Clock;
use shared::ids;
use shared::store::{Db, measure};

use super::Options;
use super::process::{Folder, Process};
use super::servers;
use super::usage::Servers;

/// Connections of the benchmark itself.
const CONNECTIONS: u32 = 4;
/// Clients that insert at once to find the limit of Postgres.
const CLIENTS: i64 = 16;

/// A place for one run. The processes are stopped before the folder goes: fields are dropped in their order.
pub struct Place {
    db: Db,
    kind: Kind,
    own: Vec<Process>,
    folder: Folder,
}

enum Kind {
    Embedded,
    Scaled(Scaled),
}

/// A database on a server.
struct Scaled {
    /// The server, by one of its other databases.
    server: String,
    name: String,
    url: String,
    redis: String,
}

impl Place {
    /// Makes the place: folder, servers where they are needed, database with its schema.
    pub async fn open(options: &Options) -> anyhow::Result<Self> {
        let folder = Folder::new(options.dir.as_deref().unwrap_or(&std::env::temp_dir()))?;
        std::fs::create_dir(folder.path().join("data")).context("the data folder cannot be made")?;
        if !options.is_scaled() {
            let db = Db::sqlite(&folder.path().join("data/autoos.db")).await?;
            return Self { db, kind: Kind::Embedded, own: Vec::new(), folder }.migrated().await;
        }
        let mut own = Vec::new();
        let (server, redis) = if let (Some(database), Some(redis)) = (&options.database_url, &options.redis_url) {
            (database.clone(), redis.clone())
        } else {
            let (process, server) = servers::postgres(folder.path()).await?;
            own.push(process);
            let (process, redis) = servers::redis(folder.path()).await?;
            own.push(process);
            (server, redis)
        };
        let name = format!("autoos_bench_{}", ids::new(Clock::System.now()).simple());
        let url = measure::create_database(&server, &name).await.context("making a database for the benchmark")?;
        match Db::postgres(&url, CONNECTIONS).await {
            Ok(db) => {
                Self { db, kind: Kind::Scaled(Scaled { server, name, url, redis }), own, folder }.migrated().await
            }
            Err(error) => {
                remove(&server, &name).await;
                Err(error.into())
            }
        }
    }

    async fn migrated(self) -> anyhow::Result<Self> {
        let migrated = self.db.migrate().await;
        if let Err(error) = migrated {
            self.close().await;
            return Err(error.into());
        }
        Ok(self)
    }

    /// The database.
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// The folder that is removed in the end.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The settings that lead the roles here.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("DATA_DIR", self.folder.path().join("data").display().to_string())];
        if let Kind::Scaled(scaled) = &self.kind {
            settings.push(("DATABASE_URL", scaled.url.clone()));
            settings.push(("REDIS_URL", scaled.redis.clone()));
        }
        settings
    }

    /// The servers whose CPU time counts. Given ones are counted if they run on this machine.
    pub fn servers(&self) -> Servers {
        match &self.kind {
            Kind::Embedded => Servers::None,
            Kind::Scaled(_) if self.own.is_empty() => Servers::ByName,
            Kind::Scaled(_) => Servers::Own(self.own.iter().map(Process::pid).collect()),
        }
    }

    /// Inserts per second that the database here does by itself, each committed alone.
    pub async fn single_inserts(&self, span: Duration) -> anyhow::Result<f64> {
        let rate = match &self.kind {
            Kind::Embedded => measure::sqlite_single_inserts(&self.folder.path().join("probe.db"), span).await,
            Kind::Scaled(scaled) => measure::postgres_single_inserts(&scaled.url, CLIENTS, span).await,
        };
        rate.context("measuring single inserts")
    }

    /// Takes everything down.
    pub async fn close(self) {
        self.db.close().await;
        if let Kind::Scaled(scaled) = &self.kind {
            remove(&scaled.server, &scaled.name).await;
        }
    }
}

async fn remove(server: &str, database: &str) {
    if let Err(error) = measure::drop_database(server, database).await {
        eprintln!("The database {database} was left behind: {error}");
    }
}
