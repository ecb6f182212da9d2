\set QUIET 1
\pset tuples_only on
\pset format unaligned
-- Run through postgres:connect. Reads only. @settings@, @roles@ and @schemas@ are text arrays; every
-- answer is one line that starts with @mark@.
SELECT concat('@mark@', jsonb_build_object(
  'name', current_database(),
  'settings', (
    SELECT jsonb_object_agg(s.name, jsonb_build_array(
      current_setting(s.name), s.source, s.context = 'postmaster',
      coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name ORDER BY f.seqno DESC LIMIT 1), '')))
      FROM pg_settings s WHERE s.name = ANY (@settings@)),
  'roles', (
    SELECT jsonb_object_agg(r.rolname, jsonb_build_array(
      r.rolcanlogin AND NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls),
      coalesce(r.rolpassword, '')))
      FROM pg_authid r WHERE r.rolname = ANY (@roles@)),
  'database', (
    SELECT jsonb_object_agg(g.who, g.what) FROM pg_database d, LATERAL (
      SELECT CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS who,
             jsonb_agg(DISTINCT a.privilege_type) AS what
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a GROUP BY 1) g
     WHERE d.datname = current_database()),
  'schemas', (
    SELECT jsonb_object_agg(n.nspname, coalesce((
      SELECT jsonb_object_agg(g.who, g.what) FROM (
        SELECT CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS who,
               jsonb_agg(DISTINCT a.privilege_type) AS what
          FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a GROUP BY 1) g), '{}'))
      FROM pg_namespace n WHERE n.nspname = ANY (@schemas@))));
SELECT concat('@mark@', jsonb_build_object('relation', jsonb_build_array(
  n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner),
  coalesce((
    SELECT t.relname FROM pg_depend p JOIN pg_class t ON t.oid = p.refobjid
     WHERE c.relkind = 'S' AND p.objid = c.oid AND p.classid = 'pg_class'::regclass
       AND p.refclassid = 'pg_class'::regclass AND p.deptype IN ('a', 'i') LIMIT 1), ''),
  coalesce((
    SELECT jsonb_object_agg(g.who, g.what) FROM (
      SELECT CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS who,
             jsonb_agg(DISTINCT a.privilege_type) AS what
        FROM aclexplode(c.relacl) a GROUP BY 1) g), '{}'))))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (@schemas@) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
 ORDER BY n.nspname, c.relname;
SELECT concat('@mark@', jsonb_build_object('function', jsonb_build_array(
  n.nspname, f.proname, pg_get_function_identity_arguments(f.oid),
  coalesce((
    SELECT jsonb_object_agg(g.who, g.what) FROM (
      SELECT CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS who,
             jsonb_agg(DISTINCT a.privilege_type) AS what
        FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a GROUP BY 1) g), '{}'))))
  FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
 WHERE n.nspname = ANY (@schemas@) AND f.prokind IN ('f', 'p')
 ORDER BY n.nspname, f.proname;
