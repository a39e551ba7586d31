(define (allow-work path) (allow file-write* (subpath path)))
