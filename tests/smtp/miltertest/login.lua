-- Shows: the SASL login, which is a macro at MAIL only, names the campaign at every RCPT
-- Listed: unsubscribe scope=campaign:autumn user@example.com
-- Counted: autumn reject unsubscribe 2
-- Counted: spring pass none 1
conn = connect()
sent(mt.macro(conn, SMFIC_MAIL, "{auth_authen}", "autumn@sender.test", "{auth_type}", "PLAIN"))
mail(conn, "<a@x.test>")
refused(conn, "<user@example.com>")
refused(conn, "<USER@example.com>")
sent(mt.abort(conn))
sent(mt.macro(conn, SMFIC_MAIL, "{auth_authen}", "autumn@sender.test"))
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<user@example.com>")
mt.disconnect(conn)
