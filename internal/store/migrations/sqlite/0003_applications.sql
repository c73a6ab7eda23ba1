-- What applications prove themselves with. owner is the object that has the credential: an application or a service
-- principal. Secrets of before had none: they were the application's.
ALTER TABLE client_secrets ADD COLUMN owner TEXT NOT NULL DEFAULT '';
UPDATE client_secrets SET owner = (SELECT a.id FROM applications a WHERE a.app_id = client_secrets.app_id)
  WHERE app_id IN (SELECT app_id FROM applications);
CREATE INDEX client_secrets_owner ON client_secrets (owner);
CREATE TABLE client_keys (
  owner  TEXT NOT NULL,
  id     TEXT NOT NULL,
  app_id TEXT NOT NULL,
  doc    TEXT NOT NULL,
  PRIMARY KEY (owner, id)
);
CREATE INDEX client_keys_app ON client_keys (app_id);
CREATE TABLE federated_credentials (
  id       TEXT NOT NULL PRIMARY KEY,
  owner    TEXT NOT NULL,
  app_id   TEXT NOT NULL,
  name_key TEXT NOT NULL,
  issuer   TEXT NOT NULL,
  subject  TEXT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE UNIQUE INDEX federated_credentials_name ON federated_credentials (owner, name_key);
CREATE UNIQUE INDEX federated_credentials_trust ON federated_credentials (owner, issuer, subject);
CREATE INDEX federated_credentials_app ON federated_credentials (app_id);

-- Who owns groups, applications and service principals.
CREATE TABLE owners (
  object TEXT NOT NULL,
  owner  TEXT NOT NULL,
  PRIMARY KEY (object, owner)
);
CREATE INDEX owners_owner ON owners (owner, object);

-- Consent. principal is empty when it is for everybody.
CREATE TABLE permission_grants (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL,
  client    TEXT NOT NULL,
  resource  TEXT NOT NULL,
  principal TEXT NOT NULL,
  doc       TEXT NOT NULL
);
CREATE UNIQUE INDEX permission_grants_triple ON permission_grants (client, resource, principal);
CREATE INDEX permission_grants_tenant ON permission_grants (tenant, id);
CREATE INDEX permission_grants_resource ON permission_grants (resource);
CREATE INDEX permission_grants_principal ON permission_grants (principal);
CREATE TABLE app_role_assignments (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL,
  principal TEXT NOT NULL,
  resource  TEXT NOT NULL,
  role      TEXT NOT NULL,
  doc       TEXT NOT NULL
);
CREATE UNIQUE INDEX app_role_assignments_triple ON app_role_assignments (principal, resource, role);
CREATE INDEX app_role_assignments_resource ON app_role_assignments (resource, id);

-- What was deleted and may be restored: the object, and its relations as they were.
CREATE TABLE deleted_objects (
  id          TEXT   NOT NULL PRIMARY KEY,
  tenant      TEXT   NOT NULL,
  kind        TEXT   NOT NULL,
  display_key TEXT   NOT NULL,
  deleted_at  BIGINT NOT NULL,
  doc         TEXT   NOT NULL
);
CREATE INDEX deleted_objects_display ON deleted_objects (tenant, kind, display_key, id);
CREATE INDEX deleted_objects_age ON deleted_objects (deleted_at);
