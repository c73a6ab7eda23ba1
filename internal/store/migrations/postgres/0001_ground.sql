-- One row a commit; compacted from below, so the head keeps its own count.
CREATE TABLE head (
  one      BIGINT PRIMARY KEY CHECK (one = 1),
  revision BIGINT NOT NULL,
  floor    BIGINT NOT NULL
);
INSERT INTO head (one, revision, floor) VALUES (1, 0, 0);
CREATE TABLE changes (
  revision BIGINT PRIMARY KEY,
  at       BIGINT NOT NULL,
  events   TEXT    NOT NULL
);

CREATE TABLE tenants (
  id  TEXT NOT NULL PRIMARY KEY,
  doc TEXT NOT NULL
);
CREATE TABLE tenant_domains (
  domain TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL REFERENCES tenants (id)
);

CREATE TABLE users (
  id          TEXT NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL REFERENCES tenants (id),
  upn_key     TEXT NOT NULL,
  display_key TEXT NOT NULL,
  doc         TEXT NOT NULL
);
CREATE UNIQUE INDEX users_upn ON users (tenant, upn_key);
CREATE INDEX users_display ON users (tenant, display_key, id);

CREATE TABLE user_groups (
  id           TEXT NOT NULL PRIMARY KEY,
  tenant       TEXT NOT NULL REFERENCES tenants (id),
  display_key  TEXT NOT NULL,
  nickname_key TEXT NOT NULL,
  doc          TEXT NOT NULL
);
CREATE INDEX user_groups_display ON user_groups (tenant, display_key, id);

CREATE TABLE applications (
  id          TEXT NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL REFERENCES tenants (id),
  app_id      TEXT NOT NULL UNIQUE,
  display_key TEXT NOT NULL,
  doc         TEXT NOT NULL
);
CREATE INDEX applications_display ON applications (tenant, display_key, id);
CREATE TABLE application_uris (
  tenant      TEXT NOT NULL,
  uri_key     TEXT NOT NULL,
  application TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
  PRIMARY KEY (tenant, uri_key)
);
CREATE INDEX application_uris_application ON application_uris (application);

CREATE TABLE service_principals (
  id          TEXT NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL REFERENCES tenants (id),
  app_id      TEXT NOT NULL,
  display_key TEXT NOT NULL,
  doc         TEXT NOT NULL
);
CREATE UNIQUE INDEX service_principals_app ON service_principals (tenant, app_id);
CREATE INDEX service_principals_display ON service_principals (tenant, display_key, id);

CREATE TABLE members (
  group_id  TEXT NOT NULL REFERENCES user_groups (id),
  member_id TEXT NOT NULL,
  PRIMARY KEY (group_id, member_id)
);
CREATE INDEX members_member ON members (member_id, group_id);

CREATE TABLE directory_roles (
  role      TEXT NOT NULL,
  principal TEXT NOT NULL,
  PRIMARY KEY (role, principal)
);
CREATE INDEX directory_roles_principal ON directory_roles (principal);

-- Password hashes of users (argon2id, PHC form) and hashed client secrets of applications.
CREATE TABLE passwords (
  id   TEXT NOT NULL PRIMARY KEY,
  hash TEXT NOT NULL
);
CREATE TABLE client_secrets (
  id     TEXT NOT NULL PRIMARY KEY,
  app_id TEXT NOT NULL,
  doc    TEXT NOT NULL
);
CREATE INDEX client_secrets_app ON client_secrets (app_id);

-- Wrong passwords in a row, by a hash of tenant and name: also of names that nobody has, so that a lock tells nothing.
CREATE TABLE sign_in_attempts (
  account TEXT NOT NULL PRIMARY KEY,
  last    BIGINT NOT NULL,
  doc     TEXT    NOT NULL
);
CREATE INDEX sign_in_attempts_last ON sign_in_attempts (last);

CREATE TABLE signing_keys (
  kid    TEXT NOT NULL PRIMARY KEY,
  doc    TEXT NOT NULL,
  sealed BYTEA NOT NULL
);

CREATE TABLE sessions (
  id         TEXT NOT NULL PRIMARY KEY,
  user_id    TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- token is the SHA-256 of the token, so a copy of the database redeems nothing.
CREATE TABLE refresh_tokens (
  token      TEXT NOT NULL PRIMARY KEY,
  session    TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE device_codes (
  code       TEXT NOT NULL PRIMARY KEY,
  user_code  TEXT NOT NULL UNIQUE,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX device_codes_expiry ON device_codes (expires_at);

CREATE TABLE subscriptions (
  id     TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL REFERENCES tenants (id),
  doc    TEXT NOT NULL
);
-- The root group of a tenant has a row only once somebody changed it. doc names the parent.
CREATE TABLE management_groups (
  tenant   TEXT NOT NULL REFERENCES tenants (id),
  name_key TEXT NOT NULL,
  doc      TEXT NOT NULL,
  PRIMARY KEY (tenant, name_key)
);
CREATE TABLE resource_groups (
  subscription TEXT NOT NULL REFERENCES subscriptions (id),
  name_key     TEXT NOT NULL,
  doc          TEXT NOT NULL,
  PRIMARY KEY (subscription, name_key)
);
CREATE TABLE role_definitions (
  id       TEXT NOT NULL PRIMARY KEY,
  tenant   TEXT NOT NULL REFERENCES tenants (id),
  name_key TEXT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE UNIQUE INDEX role_definitions_name ON role_definitions (tenant, name_key);
CREATE TABLE role_assignments (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL REFERENCES tenants (id),
  scope_key TEXT NOT NULL,
  principal TEXT NOT NULL,
  role      TEXT NOT NULL,
  doc       TEXT NOT NULL
);
CREATE UNIQUE INDEX role_assignments_triple ON role_assignments (tenant, scope_key, principal, role);
CREATE INDEX role_assignments_principal ON role_assignments (principal);

CREATE TABLE clusters (
  id           TEXT NOT NULL PRIMARY KEY,
  resource_key TEXT NOT NULL UNIQUE,
  doc          TEXT NOT NULL
);
CREATE TABLE cluster_secrets (
  cluster TEXT NOT NULL PRIMARY KEY REFERENCES clusters (id) ON DELETE CASCADE,
  sealed  BYTEA NOT NULL
);
CREATE TABLE certificates (
  fingerprint TEXT NOT NULL PRIMARY KEY,
  cluster     TEXT NOT NULL,
  expires_at  BIGINT NOT NULL,
  doc         TEXT NOT NULL
);
CREATE INDEX certificates_cluster ON certificates (cluster);
CREATE INDEX certificates_expiry ON certificates (expires_at);

-- token is the SHA-256 of the token, so a copy of the database enrols nobody.
CREATE TABLE gate_enrollments (
  token      TEXT NOT NULL PRIMARY KEY,
  cluster    TEXT NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX gate_enrollments_cluster ON gate_enrollments (cluster);
CREATE INDEX gate_enrollments_expiry ON gate_enrollments (expires_at);

CREATE TABLE operations (
  id           TEXT NOT NULL PRIMARY KEY,
  resource_key TEXT NOT NULL,
  status       TEXT NOT NULL,
  started_at   BIGINT NOT NULL,
  doc          TEXT NOT NULL
);
CREATE INDEX operations_resource ON operations (resource_key, status);
CREATE INDEX operations_status ON operations (status, started_at);

CREATE TABLE audit (
  seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  at  BIGINT NOT NULL,
  doc TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE settings (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

-- Each commit wakes those who follow from elsewhere; the payload is the new head.
CREATE FUNCTION keyreeve_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('keyreeve_feed', NEW.revision::text);
  RETURN NULL;
END $$;
CREATE TRIGGER head_tell AFTER UPDATE OF revision ON head FOR EACH ROW EXECUTE FUNCTION keyreeve_tell();
