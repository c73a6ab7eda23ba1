-- Names are unique at a scope.
CREATE TABLE deny_assignments (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL,
  scope_key TEXT NOT NULL,
  name_key  TEXT NOT NULL,
  doc       TEXT NOT NULL
);
CREATE UNIQUE INDEX deny_assignments_name ON deny_assignments (tenant, scope_key, name_key);
