-- What the scripts share. `socket` (unix:/path or inet:port@host) comes from the command line.

function connect()
  local conn = mt.connect(socket, 20, 0.1)
  if conn == nil then error("nothing answers at " .. socket) end
  return conn
end

function sent(problem)
  if problem ~= nil then error(problem, 3) end
end

function replied(conn, wanted)
  local reply = mt.getreply(conn)
  if reply ~= wanted then
    error("reply " .. string.char(reply) .. " instead of " .. string.char(wanted), 3)
  end
end

function mail(conn, ...)
  sent(mt.mailfrom(conn, ...))
  replied(conn, SMFIR_CONTINUE)
end

function accepted(conn, recipient)
  sent(mt.rcptto(conn, recipient))
  replied(conn, SMFIR_CONTINUE)
end

function refused(conn, recipient)
  sent(mt.rcptto(conn, recipient))
  replied(conn, SMFIR_REPLYCODE)
end
