-- Shows: octets in recipients that Postfix never lets through are refused, and end nothing
-- Listed: hard_bounce user@example.com
-- Counted: unknown reject bad_address 9
-- Counted: unknown reject hard_bounce 2
-- Counted: unknown pass none 1
conn = connect()
mail(conn, "<>")
refused(conn, "<>")
refused(conn, "")
refused(conn, "user")
refused(conn, "<\1\2\3@example.com>")
refused(conn, "<user@example.com\r\nRCPT TO:<other@example.com>>")
refused(conn, "<\255\254@example.com>")
refused(conn, "<us\127er@example.com>")
refused(conn, "<" .. string.rep("l", 900) .. "@example.com>")
refused(conn, "<user@" .. string.rep("l", 900) .. ".com>")
-- a NUL ends it for every C program; what is before it is suppressed
refused(conn, "<user@example.com>\0<other@example.com>")
refused(conn, "<user@example.com>")
accepted(conn, "<anna@example.com>")
mt.disconnect(conn)
