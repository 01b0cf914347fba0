DROP TRIGGER forget_released_subjects ON ops.held_subjects;
DROP FUNCTION ops.forget_released_subjects();
